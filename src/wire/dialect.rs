//! The dialects: what nodes of one ring agree on.

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
