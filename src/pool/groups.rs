//! The groups of a pool, which every request looks up and hardly anything changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use crate::error::{Error, Result};
use crate::group::Group;

/// The groups by name: a map that is replaced whole, so that a look-up takes no lock.
#[derive(Debug, Default)]
pub(super) struct Groups(ArcSwap<BTreeMap<String, Group>>);

/// The groups that there were at one moment.
pub(super) struct View(Guard<Arc<BTreeMap<String, Group>>>);

impl Groups {
    pub(super) fn view(&self) -> View {
        View(self.0.load())
    }

    pub(super) fn add(&self, group: Group) -> Result<()> {
        let mut exists = false;
        self.0.rcu(|groups| {
            let mut groups = BTreeMap::clone(groups);
            exists = groups.contains_key(group.name());
            groups.entry(group.name().to_owned()).or_insert_with(|| group.clone());
            groups
        });
        if exists {
            return Err(Error::GroupExists { group: group.name().to_owned() });
        }
        Ok(())
    }
}

impl View {
    pub(super) fn find(&self, name: &str) -> Result<&Group> {
        self.0.get(name).ok_or_else(|| Error::NoSuchGroup { group: name.to_owned() })
    }

    /// The groups in the order of their names.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &Group> {
        self.0.values()
    }
}
