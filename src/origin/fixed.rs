//! The origin `static:`: pairs that stand in the text itself.

use std::collections::HashMap;

use super::{Source, check_len};
use crate::byte_view::ByteView;
use crate::error::{BoxError, NotFound, Result};
use crate::getter::Loaded;

#[derive(Debug)]
pub(super) struct Fixed(HashMap<String, ByteView>);

impl Fixed {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut values = HashMap::new();
        for pair in text.split(',') {
            let (key, value) = pair.split_once('=').unwrap_or_default();
            let (key, value) = (key.trim(), value.trim());
            if key.is_empty() {
                return Err(format!("{pair:?} is no pair: write static:KEY=VALUE,KEY=VALUE"));
            }
            // The last could win, but then a typo in a long list would go unseen.
            if values.insert(key.to_owned(), ByteView::from(value)).is_some() {
                return Err(format!("key {key:?} stands there twice: keep one"));
            }
        }
        Ok(Self(values))
    }
}

impl Source for Fixed {
    fn load(&self, key: &str, value_bytes: usize) -> Result<Loaded, BoxError> {
        let value = self.0.get(key).ok_or(NotFound)?;
        check_len(value.len(), value_bytes)?;
        Ok(Loaded::new(value.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::outcome;
    use super::*;

    fn value(text: &str, key: &str) -> Option<String> {
        outcome(Fixed::parse(text).unwrap().load(key, 100)).unwrap()
    }

    #[test]
    fn each_key_has_its_value_and_others_are_not_found() {
        let text = "Tom=630, Jack = 589,Sam=,Ann=a=b, Max=two words";
        let pairs = [("Tom", "630"), ("Jack", "589"), ("Sam", ""), ("Ann", "a=b")];
        for (key, expected) in pairs.into_iter().chain([("Max", "two words")]) {
            assert_eq!(value(text, key).as_deref(), Some(expected), "{key}");
        }
        for key in ["tom", "", " Jack", "Tom=630"] {
            assert_eq!(value(text, key), None, "{key:?}");
        }
    }

    #[test]
    fn what_is_no_pair_is_refused_and_named() {
        for (text, named) in [
            ("", "\"\""),
            ("Tom", "\"Tom\""),
            ("Tom=630,", "\"\""),
            ("=630", "\"=630\""),
            ("Tom=6,30", "\"30\""),
            ("Tom=630,Tom=589", "\"Tom\" stands there twice"),
        ] {
            let error = Fixed::parse(text).unwrap_err();
            assert!(error.contains(named), "{named} is missing in {error:?}");
        }
    }
}
