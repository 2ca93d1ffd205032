//! The dialects: what nodes of one ring agree on.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::ring::{self, Recipe};

/// How the nodes of a ring name places and talk; the same on every node of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Dialect {
    /// Between larder nodes.
    #[default]
    Native,
}

/// What a dialect consists of.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    pub(crate) ring: Recipe,
    /// The path below which peers are served; starts and ends with a slash.
    pub(crate) base: &'static str,
}

const NATIVE: Spec = Spec { name: "native", ring: ring::NATIVE, base: "/_larder/" };

impl Dialect {
    const ALL: &[Self] = &[Self::Native];

    /// The dialect's name, as flags and messages spell it.
    pub fn name(self) -> &'static str {
        self.spec().name
    }

    pub(crate) fn spec(self) -> &'static Spec {
        match self {
            Self::Native => &NATIVE,
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// From a dialect's name.
impl FromStr for Dialect {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.iter().copied().find(|dialect| dialect.name() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|dialect| dialect.name()).collect();
            let reason = format!("not known, write one of {}", names.join(", "));
            Error::bad_setting(format!("dialect {text:?}"), reason)
        })
    }
}
