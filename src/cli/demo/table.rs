//! The demo's origin: a table of scores in SQLite.

use std::path::Path;

use larder::origin::Origin;
use rusqlite::Connection;

use crate::cli::end::{Ending, Exit};

const KNOWN: [(&str, u32); 3] = [("Tom", 630), ("Jack", 589), ("Sam", 567)];
/// `player0001` to `player10000`.
const PLAYERS: u32 = 10_000;
pub(super) const ROWS: u32 = PLAYERS + KNOWN.len() as u32;

/// The table, written into a new file in `folder`.
pub(super) fn open(folder: &Path) -> Result<Origin, Ending> {
    let file = folder.join("scores.db");
    write(&file).map_err(|error| {
        let message = format!("cannot write the demo's table {}: {error}", file.display());
        Ending::new(Exit::Failed, message)
    })?;
    let sql = "SELECT value FROM scores WHERE key=?1";
    Ok(Origin::parse(&format!("sqlite:{}?sql={sql}", file.display()))?)
}

fn write(file: &Path) -> rusqlite::Result<()> {
    let mut connection = Connection::open(file)?;
    let table = connection.transaction()?;
    table.execute("CREATE TABLE scores(key TEXT PRIMARY KEY, value TEXT)", ())?;
    let mut insert = table.prepare("INSERT INTO scores VALUES (?1, ?2)")?;
    for (key, score) in KNOWN {
        insert.execute((key, score.to_string()))?;
    }
    for player in 1..=PLAYERS {
        // Scattered over 0 to 999, and the same in every demo.
        insert.execute((format!("player{player:04}"), (player * 7_919 % 1_000).to_string()))?;
    }
    drop(insert);
    table.commit()
}
