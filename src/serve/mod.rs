//! A listener that may stand on a network: the gate reads and bounds requests, answers what
//! needs no waiting on the connection's own thread, and hands the rest to a lane, which is a
//! tiny_http server on a private socket with worker threads.

mod limits;
mod head;
mod answer;
mod guard;
mod meters;
mod request;
mod conditional;
mod lane;
mod open;
mod drain;
mod shared;
mod input;
mod stream;
mod connection;
mod gate;

pub(crate) use answer::Answer;
pub(crate) use conditional::{Conditions, apply as apply_conditions};
pub(crate) use drain::Listener;
pub(crate) use gate::Gate;
#[cfg(feature = "auth")]
pub(crate) use guard::BodyHash;
pub(crate) use guard::{Asked, Credentials, Guard};
pub(crate) use head::Method;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use head::parse as parse_head;
pub use limits::Limits;
pub use meters::ListenerStats;
pub(crate) use meters::Meters;
pub(crate) use request::{AtOnce, Request, Service};
