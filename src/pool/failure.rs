//! The answer to a peer's request that failed.

use super::Shared;
use crate::error::Error;
use crate::serve::Answer;
use crate::wire::{self, ERROR_CODE};

pub(super) fn failure(shared: &Shared, error: &Error) -> Answer {
    let (status, code, text) = wire::error_to_wire(shared.dialect.spec(), error);
    Answer::text(status, text).with(ERROR_CODE, code)
}
