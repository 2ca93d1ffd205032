//! What operators write: trusted, and yet to be refused with words when it is wrong.

use super::lab::{INSIDE, Lab};
use super::{choice, text};
#[cfg(feature = "cli")]
use crate::config::NodeConfig;
#[cfg(feature = "cli")]
use crate::error::Error;
use crate::getter::{Getter, Loaded};
use crate::origin::Origin;

/// A configuration file.
#[cfg(feature = "cli")]
pub fn config(data: &[u8]) -> bool {
    let text = text(data);
    let config = NodeConfig::from_toml(&text);
    match &config {
        Ok(_) => assert_eq!(NodeConfig::from_toml(&format!("{text}\n# more\n")), config),
        Err(Error::BadSetting { .. }) => {}
        Err(error) => panic!("{error:?} is no bad setting"),
    }
    config.is_ok()
}

/// Origins as they are written, queries, and keys of a folder's files.
pub fn origin(data: &[u8]) -> bool {
    let (choice, rest) = choice(data);
    let text = text(rest);
    match choice % 4 {
        0 => Origin::parse(&text).is_ok_and(|origin| {
            assert_eq!(origin.to_string(), text);
            true
        }),
        1 => pairs(&text),
        2 => query(&text),
        _ => file(&text),
    }
}

fn pairs(text: &str) -> bool {
    let Ok(origin) = Origin::parse(&format!("static:{text}")) else { return false };
    for pair in text.split(',') {
        let (key, value) = pair.split_once('=').unwrap();
        assert_eq!(origin.get(key.trim()).unwrap(), Loaded::new(value.trim()));
    }
    true
}

/// Whatever it says, the database stays as it is.
fn query(sql: &str) -> bool {
    Lab::with(|lab| {
        let database = lab.database();
        let origin = Origin::parse(&format!("sqlite:{}?sql={sql}", database.display()));
        let taken = origin.is_ok();
        drop(origin);
        assert!(std::fs::read(&database).unwrap().is_empty(), "the database was written to");
        taken
    })
}

/// Whatever the key, nothing but the folder's own files is read.
fn file(key: &str) -> bool {
    Lab::with(|lab| {
        let Ok(origin) = Origin::parse(&format!("dir:{}", lab.inside().display())) else {
            return false;
        };
        let Ok(loaded) = origin.get(key) else { return false };
        let inside = INSIDE.iter().any(|(_, value)| loaded == Loaded::new(*value));
        assert!(inside, "{key:?} is {:?}", loaded.value);
        true
    })
}
