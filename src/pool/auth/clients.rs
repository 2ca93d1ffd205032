//! Clients show by a token what they may do.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::auth::{Right, Tokens};
use crate::serve::{Answer, Asked, BodyHash, Guard, Meters, Method};

/// What everybody may ask: load balancers have no token.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

/// Admits clients by their tokens.
#[derive(Debug)]
pub(super) struct Clients {
    tokens: ArcSwap<Tokens>,
    meters: Arc<Meters>,
}

impl Clients {
    pub(super) fn new(tokens: Tokens, meters: Arc<Meters>) -> Self {
        Self { tokens: ArcSwap::from_pointee(tokens), meters }
    }

    pub(super) fn set(&self, tokens: Tokens) {
        self.tokens.store(Arc::new(tokens));
    }

    fn check(&self, asked: Asked<'_>) -> Result<(), Answer> {
        let reads = matches!(asked.method, Method::Get | Method::Head);
        let path = asked.target.split_once('?').map_or(asked.target, |(path, _)| path);
        if reads && OPEN.contains(&path) {
            return Ok(());
        }
        let authorization = asked.credentials.authorization.unwrap_or_default();
        match self.tokens.load().right_of(authorization) {
            Some(Right::Write) => Ok(()),
            Some(Right::Read) if reads => Ok(()),
            Some(Right::Read) => {
                self.meters.forbidden.add_one();
                let method = asked.method.name();
                let line = format!("this token may only read: {method} takes one that may write");
                Err(Answer::text(403, line))
            }
            None => {
                self.meters.unauthorized.add_one();
                let line = "no valid token: send `Authorization: Bearer TOKEN`";
                Err(Answer::text(401, line).with("WWW-Authenticate", "Bearer"))
            }
        }
    }
}

impl Guard for Clients {
    fn admit(&self, asked: Asked<'_>) -> Result<BodyHash, Answer> {
        self.check(asked).map(|()| None)
    }

    fn admit_body(&self, _: BodyHash, _: &[u8]) -> Result<(), Answer> {
        Ok(())
    }
}
