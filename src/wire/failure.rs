//! Errors as peers send them to each other.
//!
//! Between larder nodes a header says what an error is, in every dialect. Go nodes neither send
//! it nor read it: for them the status says it, as far as their dialect has one.

use super::Spec;
use super::dialect::Unmarked;
use crate::error::Error;
use crate::peer::PeerError;

/// The header that tells a peer's errors apart; its values are below.
pub(crate) const ERROR_CODE: &str = "Larder-Error";

/// Values of [`ERROR_CODE`].
pub(crate) mod code {
    pub(crate) const NOT_FOUND: &str = "not-found";
    pub(crate) const GETTER: &str = "getter";
    pub(crate) const PANICKED: &str = "panicked";
    pub(crate) const LOADING: &str = "loading";
    pub(crate) const NOT_CONFIRMED: &str = "not-confirmed";
    pub(crate) const OVERLOADED: &str = "overloaded";
    pub(crate) const NO_SUCH_GROUP: &str = "no-such-group";
    pub(crate) const BAD_REQUEST: &str = "bad-request";
    pub(crate) const INTERNAL: &str = "internal";
    /// The request is not signed, or its signature is not valid here.
    #[cfg(feature = "auth")]
    pub(crate) const UNAUTHORIZED: &str = "unauthorized";
    /// The listener has as many connections as it takes: the request was not even read.
    pub(crate) const TURNED_AWAY: &str = "turned-away";
}

/// How Go nodes begin the text that a group is unknown.
const NO_SUCH_GROUP: &str = "no such group: ";

/// An answer without a value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refused<'a> {
    pub(crate) status: u16,
    /// The value of [`ERROR_CODE`].
    pub(crate) code: Option<&'a str>,
    pub(crate) text: &'a str,
}

/// The status, code and text in which a peer is told of `error`.
pub(crate) fn error_to_wire(spec: &Spec, error: &Error) -> (u16, &'static str, String) {
    let statuses = spec.statuses;
    match error {
        Error::NotFound { .. } => (statuses.not_found, code::NOT_FOUND, error.to_string()),
        Error::Getter { message, .. } => (statuses.getter, code::GETTER, message.clone()),
        Error::GetterPanicked { message, .. } => (statuses.getter, code::PANICKED, message.clone()),
        Error::ValueTooLarge { .. } | Error::AskedForItself { .. } => {
            (statuses.getter, code::GETTER, error.to_string())
        }
        Error::DeadlineExceeded { .. } => (504, code::LOADING, error.to_string()),
        Error::Overloaded { what } => (503, code::OVERLOADED, what.clone()),
        Error::NoSuchGroup { group } => {
            (statuses.no_such_group, code::NO_SUCH_GROUP, format!("{NO_SUCH_GROUP}{group}"))
        }
        Error::KeyTooLong { .. } => (400, code::BAD_REQUEST, error.to_string()),
        _ => (500, code::INTERNAL, error.to_string()),
    }
}

/// What a peer's answer without a value means to the caller.
pub(crate) fn error_from_wire(
    spec: &Spec,
    peer: &str,
    group: &str,
    key: &str,
    refused: Refused<'_>,
) -> PeerError {
    let (group, key) = (group.to_owned(), key.to_owned());
    let message = refused.text.trim_end().to_owned();
    match refused.meaning(spec) {
        Some(code::NOT_FOUND) => PeerError::Answered(Error::NotFound { group, key }),
        Some(code::GETTER) => PeerError::Answered(Error::Getter { group, key, message }),
        Some(code::PANICKED) => PeerError::Answered(Error::GetterPanicked { group, key, message }),
        Some(code::LOADING) => PeerError::StillLoading,
        Some(code::OVERLOADED) => {
            PeerError::Answered(Error::Overloaded { what: format!("{message}, at peer {peer}") })
        }
        _ => PeerError::Failed(Error::Peer {
            peer: peer.to_owned(),
            message: format!("status {}: {message}", refused.status),
        }),
    }
}

impl<'a> Refused<'a> {
    /// The code, or the one that the status stands for in this dialect.
    fn meaning(self, spec: &Spec) -> Option<&'a str> {
        match (self.code, spec.unmarked, self.status) {
            (Some(code), _, _) => Some(code),
            (None, Unmarked::FinalByStatus, 404) if !self.text.starts_with(NO_SUCH_GROUP) => {
                Some(code::NOT_FOUND)
            }
            (None, Unmarked::FinalByStatus, 503) => Some(code::GETTER),
            (None, _, _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Dialect;

    const ALL: [Dialect; 5] = [
        Dialect::Native,
        Dialect::Groupcache,
        Dialect::Geecache,
        Dialect::Mailgun,
        Dialect::GroupcacheGo,
    ];

    fn back(dialect: Dialect, status: u16, code: Option<&str>, text: &str) -> PeerError {
        let refused = Refused { status, code, text };
        error_from_wire(dialect.spec(), "http://p", "g", "k", refused)
    }

    fn final_errors() -> [Error; 3] {
        let (group, key) = ("g".to_owned(), "k".to_owned());
        let message = "it rained".to_owned();
        [
            Error::NotFound { group: group.clone(), key: key.clone() },
            Error::Getter { group: group.clone(), key: key.clone(), message: message.clone() },
            Error::GetterPanicked { group, key, message },
        ]
    }

    #[test]
    fn each_error_arrives_as_what_it_was_in_every_dialect() {
        for dialect in ALL {
            for error in final_errors() {
                let (status, code, text) = error_to_wire(dialect.spec(), &error);
                let back = back(dialect, status, Some(code), &text);
                assert_eq!(back, PeerError::Answered(error), "{dialect}");
            }
            let busy = Error::Overloaded { what: "9 loads wait".to_owned() };
            let (status, code, text) = error_to_wire(dialect.spec(), &busy);
            let back = back(dialect, status, Some(code), &text);
            assert!(
                matches!(back, PeerError::Answered(Error::Overloaded { what }) if what.contains("http://p"))
            );
        }
    }

    #[test]
    fn each_dialect_has_the_statuses_of_its_go_nodes() {
        let [not_found, getter, panicked] = &final_errors();
        let unknown = &Error::NoSuchGroup { group: "X".to_owned() };
        let status = |dialect: Dialect, error| error_to_wire(dialect.spec(), error).0;
        let table = ALL.map(|dialect| {
            [not_found, getter, panicked, unknown].map(|error| status(dialect, error))
        });
        assert_eq!(
            table,
            [
                [404, 502, 502, 500],
                [500, 500, 500, 404],
                [500, 500, 500, 404],
                [404, 503, 503, 500],
                [404, 503, 503, 500],
            ]
        );
        assert_eq!(error_to_wire(Dialect::Groupcache.spec(), unknown).2, "no such group: X");
    }

    #[test]
    fn what_is_not_marked_is_final_only_where_go_nodes_say_so() {
        let getter = |message: &str| Error::Getter {
            group: "g".to_owned(),
            key: "k".to_owned(),
            message: message.to_owned(),
        };
        for dialect in ALL {
            let final_by_status = matches!(dialect, Dialect::Mailgun | Dialect::GroupcacheGo);
            for (status, text, meaning) in [
                (404, "no key\n", Some(final_errors()[0].clone())),
                (404, "no such group: g\n", None),
                (503, "it rained\n", Some(getter("it rained"))),
                (500, "it rained\n", None),
                (400, "bad request\n", None),
                (301, "", None),
                (502, "", None),
                (504, "", None),
            ] {
                let error = back(dialect, status, None, text);
                match meaning.filter(|_| final_by_status) {
                    Some(meaning) => assert_eq!(error, PeerError::Answered(meaning)),
                    None => assert!(matches!(error, PeerError::Failed(_)), "{dialect} {status}"),
                }
            }
        }
    }

    #[test]
    fn a_code_that_is_not_final_is_a_failed_peer_whatever_the_status() {
        for dialect in ALL {
            for code in [code::NO_SUCH_GROUP, code::BAD_REQUEST, code::INTERNAL, "of-tomorrow"] {
                let error = back(dialect, 404, Some(code), "who knows");
                assert!(matches!(error, PeerError::Failed(_)), "{dialect} {code}");
            }
        }
    }
}
