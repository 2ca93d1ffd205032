//! How the program ends: a message and an exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use larder::Error;

/// The exit codes, which scripts rely on; `larder --help` shows the same table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Exit {
    Done = 0,
    /// The node answered that there is no such key, or no such group.
    NotFound = 1,
    /// The flags are not understood.
    Usage = 2,
    /// The origin, a peer, the network or the system failed.
    Failed = 3,
    /// The settings are understood, and cannot work.
    BadConfig = 4,
}

/// Why the program ends before its work is done, or that there is none.
#[derive(Debug)]
pub(crate) struct Ending {
    exit: Exit,
    text: Text,
}

#[derive(Debug)]
enum Text {
    /// Told as `larder: message`, on stderr.
    Message(String),
    /// What clap has to say: help and version go to stdout.
    Clap(Box<clap::Error>),
}

impl Ending {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, text: Text::Message(message.into()) }
    }

    pub(super) fn failed(what: &str, error: &io::Error) -> Self {
        Self::new(Exit::Failed, format!("{what}: {error}"))
    }

    /// The output cannot be written; a reader that has left is the usual cause.
    pub(super) fn unheard(error: &io::Error) -> Self {
        Self::failed("cannot write to stdout", error)
    }
}

impl From<clap::Error> for Ending {
    fn from(error: clap::Error) -> Self {
        let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
        Self { exit, text: Text::Clap(Box::new(error)) }
    }
}

impl From<Error> for Ending {
    fn from(error: Error) -> Self {
        let exit = match error {
            Error::NotFound { .. } => Exit::NotFound,
            Error::BadSetting { .. }
            | Error::BadPeer { .. }
            | Error::SelfNotInPeers { .. }
            | Error::BadGroupName { .. }
            | Error::GroupExists { .. } => Exit::BadConfig,
            _ => Exit::Failed,
        };
        Self::new(exit, error.to_string())
    }
}

/// Says what is to be said; the exit code.
pub(crate) fn end(outcome: Result<(), Ending>) -> ExitCode {
    let Err(ending) = outcome else { return ExitCode::from(Exit::Done as u8) };
    // Nobody is left to tell when these fail.
    let _ = match &ending.text {
        Text::Message(message) => writeln!(io::stderr().lock(), "larder: {message}"),
        Text::Clap(error) => tell(error),
    };
    ExitCode::from(ending.exit as u8)
}

fn tell(error: &clap::Error) -> io::Result<()> {
    let text = error.render().to_string();
    match text.strip_prefix("error: ") {
        Some(message) => write!(io::stderr().lock(), "larder: {message}"),
        None => error.print(),
    }
}
