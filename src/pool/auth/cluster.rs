//! The nodes of a cluster know each other by a secret.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::auth::{self, Denied, Question, Secrets, Sender, Verifier};
use crate::client::Sign;
use crate::serve::{Answer, Asked, BodyHash, Guard, Meters, Method};
use crate::wire::{ERROR_CODE, code};

/// Signs what this node asks, and verifies what it is asked.
#[derive(Debug)]
pub(super) struct Cluster {
    secrets: ArcSwap<Secrets>,
    sender: Sender,
    verifier: Verifier,
    own_url: String,
    meters: Arc<Meters>,
}

impl Cluster {
    pub(super) fn new(secrets: Secrets, own_url: &str, meters: Arc<Meters>) -> Self {
        Self {
            secrets: ArcSwap::from_pointee(secrets),
            sender: Sender::new(),
            verifier: Verifier::new(auth::now()),
            own_url: own_url.to_owned(),
            meters,
        }
    }

    pub(super) fn set(&self, secrets: Secrets) {
        self.secrets.store(Arc::new(secrets));
    }

    /// Counts a refusal; the answer to it.
    fn refuse(&self, denied: Denied) -> Answer {
        if denied == Denied::TooManySenders {
            self.meters.senders_refused.add_one();
            let answer = Answer::text(503, denied.to_string()).with("Retry-After", "1");
            return answer.with(ERROR_CODE, code::TURNED_AWAY);
        }
        self.meters.unauthorized.add_one();
        if denied == Denied::Replayed {
            self.meters.replayed.add_one();
        }
        Answer::text(401, denied.to_string())
            .with("WWW-Authenticate", "Larder-Auth")
            .with(ERROR_CODE, code::UNAUTHORIZED)
    }
}

impl Sign for Cluster {
    fn sign(&self, method: &str, target: &str, receiver: &str, body: &[u8]) -> String {
        let question = Question { method, target, receiver };
        self.sender.sign(&self.secrets.load(), question, body, auth::now())
    }
}

impl Guard for Cluster {
    fn admit(&self, asked: Asked<'_>) -> Result<BodyHash, Answer> {
        // Whether a node is alive is no secret.
        if asked.target == "/healthz" && matches!(asked.method, Method::Get | Method::Head) {
            return Ok(None);
        }
        let (method, target) = (asked.method.name(), asked.target);
        let question = Question { method, target, receiver: &self.own_url };
        let signature = asked.credentials.signature.unwrap_or_default();
        self.verifier
            .verify(&self.secrets.load(), question, signature, auth::now())
            .map_err(|denied| self.refuse(denied))
    }

    fn admit_body(&self, hash: BodyHash, body: &[u8]) -> Result<(), Answer> {
        if auth::is_of(hash, body) { Ok(()) } else { Err(self.refuse(Denied::Invalid)) }
    }
}
