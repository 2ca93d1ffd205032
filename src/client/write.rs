//! Writes that a peer is to carry out, and what purges make of its answers.

use std::time::Instant;

use ureq::http;

use super::ask::is_cut;
use super::{HttpPeer, SIGNATURE, WITHIN};
use crate::error::Error;
use crate::peer::PeerError;
use crate::serve::Method;
use crate::wire::{self, ERROR_CODE};

/// The epochs of this node's groups; each purge begins one.
pub(crate) trait Epochs: std::fmt::Debug + Send + Sync {
    fn epoch(&self, group: &str) -> u64;

    /// A peer has its values from this epoch. Whether they may be taken.
    fn hear(&self, group: &str, epoch: u64) -> bool;
}

impl HttpPeer {
    /// Has the peer carry out a write, and gives back what it answers; a write does no harm
    /// twice either. None when the peer has no such group.
    pub(crate) fn write(
        &self,
        method: Method,
        path: &str,
        body: &[u8],
        deadline: Instant,
    ) -> Result<Option<Vec<u8>>, Error> {
        let send = || {
            let budget = deadline.saturating_duration_since(Instant::now()).min(self.call);
            let target = format!("{}{path}", self.spec.base);
            let mut request = http::Request::builder()
                .method(method.name())
                .header(WITHIN, budget.as_millis() as u64);
            if let Some(signer) = &self.signer {
                let signature = signer.sign(method.name(), &target, &self.url, body);
                request = request.header(SIGNATURE, signature);
            }
            let request = request.uri(self.at(target)?);
            if body.is_empty() {
                let request = self.agent.configure_request(request.body(())?);
                let request = request.timeout_connect(Some(self.connect));
                let request = request.timeout_recv_response(Some(budget));
                self.agent.run(request.timeout_global(Some(budget)).build())
            } else {
                let request = self.agent.configure_request(request.body(body)?);
                let request = request.timeout_connect(Some(self.connect));
                let request = request.timeout_recv_response(Some(budget));
                self.agent.run(request.timeout_global(Some(budget)).build())
            }
        };
        let response = match send() {
            Err(error) if is_cut(&error) => send(),
            sent => sent,
        };
        let response = response.map_err(|error| self.error(error))?;
        let (head, body) = response.into_parts();
        let body = self.read(&head, body).map_err(|error| match error {
            PeerError::Failed(error) | PeerError::BadAnswer(error) => error,
            error => self.error(format!("{error:?}")),
        })?;
        let code = head.headers.get(ERROR_CODE).and_then(|value| value.to_str().ok());
        if code == Some(wire::code::NO_SUCH_GROUP) {
            return Ok(None);
        }
        if head.status != 200 {
            let text = String::from_utf8_lossy(&body);
            return Err(self.error(format!(
                "status {}: {}",
                head.status.as_u16(),
                text.trim_end()
            )));
        }
        Ok(Some(body))
    }
}
