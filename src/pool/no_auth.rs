//! Without the feature `auth` everybody may ask, and nothing is signed.

use std::sync::Arc;

use crate::client::Sign;
use crate::error::Result;
use crate::serve::{Guard, Meters};
use crate::wire::Spec;

#[derive(Debug, Clone, Default)]
pub(super) struct Settings;

#[derive(Debug)]
pub(super) struct Auth;

impl Auth {
    pub(super) fn new(
        _: Settings,
        _: &Spec,
        _: &str,
        _: &Arc<Meters>,
        _: &Arc<Meters>,
    ) -> Result<Self> {
        Ok(Self)
    }

    pub(super) fn signer(&self) -> Option<Arc<dyn Sign>> {
        None
    }

    pub(super) fn peer_guard(&self) -> Option<&dyn Guard> {
        None
    }

    pub(super) fn api_guard(&self) -> Option<&dyn Guard> {
        None
    }
}
