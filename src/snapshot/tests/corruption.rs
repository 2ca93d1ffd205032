//! Damaged and foreign files: none hands out a single record, none panics.

use std::fs;
use std::ops::Range;

use fastrand::Rng;
use xxhash_rust::xxh3::xxh3_64;

use super::*;
use crate::snapshot::format::{HEAD_BYTES, HEADER_BYTES, Head, Header};

fn sound(path: &Path, seed: u64) -> Vec<u8> {
    sound_but(path, seed, 0)
}

/// A file of small and large records in several blocks; a mask changes the values and no length.
fn sound_but(path: &Path, seed: u64, mask: u8) -> Vec<u8> {
    let mut rng = Rng::with_seed(seed);
    let mut records = Vec::new();
    for number in 0..400 {
        let len = if number % 150 == 149 { 200_000 } else { rng.usize(..2_000) };
        let mut value = vec![0; len];
        rng.fill(&mut value);
        value.iter_mut().for_each(|byte| *byte ^= mask);
        records.push((format!("key {number}"), value));
    }
    let records: Vec<_> = records.iter().map(|(key, value)| record(key, value)).collect();
    write(path, &records).unwrap();
    fs::read(path).unwrap()
}

/// Where the blocks lie, with their heads; then the end.
fn parts(file: &[u8]) -> Vec<Range<usize>> {
    let id = u64::from_le_bytes(file[16..24].try_into().unwrap());
    let mut parts = Vec::new();
    let mut at = HEADER_BYTES + "pages".len() + 8;
    while at < file.len() {
        let len = match Head::decode(&file[at..at + HEAD_BYTES], id, parts.len() as u64) {
            Some(Head::Block { len, .. }) => usize::try_from(len).unwrap(),
            Some(Head::End { .. }) => 0,
            None => panic!("no part at {at}"),
        };
        parts.push(at..at + HEAD_BYTES + len);
        at += HEAD_BYTES + len;
    }
    parts
}

/// The file with the parts in another order.
fn reordered(file: &[u8], order: &[&Range<usize>]) -> Vec<u8> {
    let start = parts(file)[0].start;
    let mut bytes = file[..start].to_vec();
    order.iter().for_each(|part| bytes.extend(&file[(*part).clone()]));
    bytes
}

/// A place in the file: any, or one of those that steer the reading.
fn place(rng: &mut Rng, file: &[u8], parts: &[Range<usize>]) -> usize {
    match rng.u8(..3) {
        0 => rng.usize(..HEADER_BYTES + 13),
        1 => parts[rng.usize(..parts.len())].start + rng.usize(..HEAD_BYTES),
        _ => rng.usize(..file.len()),
    }
}

/// One kind of damage after the other; what it was, for the message.
fn damage(rng: &mut Rng, file: &[u8], parts: &[Range<usize>], other: &[u8]) -> (Vec<u8>, String) {
    let mut bytes = file.to_vec();
    let at = place(rng, file, parts);
    let what = match rng.u8(..9) {
        0 => {
            bytes[at] ^= 1 << rng.u8(..8);
            format!("a bit at {at}")
        }
        1 => {
            bytes[at] = bytes[at].wrapping_add(rng.u8(1..));
            format!("a byte at {at}")
        }
        2 => {
            bytes.truncate(at);
            format!("cut at {at}")
        }
        3 => {
            bytes.extend((0..rng.usize(1..100)).map(|_| rng.u8(..)));
            "bytes appended".to_owned()
        }
        4 => {
            let end = (at + rng.usize(1..5_000)).min(bytes.len());
            bytes[at..end].fill(0);
            format!("zeros from {at} to {end}")
        }
        5 => {
            // A length, a count or a kind that asks for the moon.
            let end = (at + 8).min(bytes.len());
            bytes[at..end].fill(0xff);
            format!("huge from {at} to {end}")
        }
        6 => {
            let (a, b) = (rng.usize(..parts.len() - 1), rng.usize(..parts.len() - 1));
            let mut order: Vec<_> = parts.iter().collect();
            order.swap(a, b);
            bytes = reordered(file, &order);
            format!("blocks {a} and {b} swapped")
        }
        7 => {
            let (from, to) = (rng.usize(..parts.len()), rng.usize(..parts.len()));
            let mut order: Vec<_> = parts.iter().collect();
            order.insert(to, &parts[from]);
            bytes = reordered(file, &order);
            format!("part {from} repeated before {to}")
        }
        _ => {
            let number = rng.usize(..parts.len());
            // Of the same lengths, so that only the id tells them apart.
            bytes[parts[number].clone()].copy_from_slice(&other[parts[number].clone()]);
            format!("part {number} of another file")
        }
    };
    (bytes, what)
}

#[test]
fn no_damaged_file_hands_out_a_record() {
    let (_folder, path) = folder();
    let other = sound_but(&path, 1, 0xff);
    let file = sound(&path, 1);
    let parts = parts(&file);
    assert!(parts.len() > 5 && other.len() == file.len());
    let mut rng = Rng::with_seed(0x1a_4de4);
    let mut tried = 0;
    while tried < 1_000 {
        let (bytes, what) = damage(&mut rng, &file, &parts, &other);
        if bytes == file {
            continue;
        }
        tried += 1;
        fs::write(&path, &bytes).unwrap();
        let mut handed_out = 0;
        let result = Reader::open(&path, "pages")
            .map(|reader| reader.map(|mut reader| reader.each(|_| handed_out += 1)));
        assert!(matches!(&result, Err(Error::Snapshot { .. })), "{what}: {result:?}");
        assert_eq!(handed_out, 0, "{what}");
    }
    fs::write(&path, &file).unwrap();
    assert_eq!(read(&path).unwrap().unwrap().len(), 400, "and the file itself is sound");
}

#[test]
fn every_bit_of_a_small_file_counts() {
    let (_folder, path) = folder();
    write(&path, &[record("key", b"value")]).unwrap();
    let file = fs::read(&path).unwrap();
    for bit in 0..file.len() * 8 {
        let mut bytes = file.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &bytes).unwrap();
        reason(read(&path));
    }
    for len in 0..file.len() {
        fs::write(&path, &file[..len]).unwrap();
        reason(read(&path));
    }
}

#[test]
fn a_block_that_is_left_out_is_noticed() {
    let (_folder, path) = folder();
    let file = sound(&path, 2);
    let parts = parts(&file);
    for left_out in 0..parts.len() {
        let mut order: Vec<_> = parts.iter().collect();
        order.remove(left_out);
        fs::write(&path, reordered(&file, &order)).unwrap();
        reason(read(&path));
    }
}

#[test]
fn damage_after_the_opening_ends_the_reading() {
    let (_folder, path) = folder();
    let mut file = sound(&path, 3);
    let last_block = parts(&file).iter().nth_back(1).unwrap().clone();
    let mut reader = Reader::open(&path, "pages").unwrap().unwrap();
    file[last_block.end - 1] ^= 1;
    // In place: another file under the same name would not be seen.
    fs::write(&path, &file).unwrap();
    let mut handed_out = 0;
    assert!(reason(reader.each(|_| handed_out += 1)).contains("damaged at block"));
    assert!(handed_out < 400);
}

#[test]
fn foreign_files_are_told_apart() {
    let (_folder, path) = folder();
    let mut random = vec![0; 100_000];
    Rng::with_seed(4).fill(&mut random);
    let text = b"key = value\r\n".repeat(100);
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0".to_vec();
    for bytes in [Vec::new(), text, png, random, vec![0; 1 << 20]] {
        fs::write(&path, &bytes).unwrap();
        assert_eq!(reason(read(&path)), "is not a snapshot of larder");
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(reason(read(&path)), "is not a file");
}

#[test]
fn a_snapshot_that_passed_through_a_text_filter_is_refused() {
    let (_folder, path) = folder();
    let file = sound(&path, 5);
    let unix: Vec<u8> = file.iter().copied().filter(|&byte| byte != b'\r').collect();
    fs::write(&path, unix).unwrap();
    assert_eq!(reason(read(&path)), "is not a snapshot of larder");
}

#[test]
fn each_refusal_says_which_file_why_and_what_to_do() {
    let (_folder, path) = folder();
    let file = sound(&path, 6);
    let refused = |bytes: &[u8], group: &str| {
        fs::write(&path, bytes).unwrap();
        Reader::open(&path, group).unwrap_err().to_string()
    };
    let text = refused(&file, "scores");
    assert!(text.contains(r#"of group "pages", not of "scores""#), "{text}");
    for word in [path.to_str().unwrap(), "is ignored", "delete it", "replace it"] {
        assert!(text.contains(word), "{word} is missing in {text:?}");
    }

    let mut newer = file.clone();
    newer[8] = 9;
    assert!(refused(&newer, "pages").contains("version 9, and this program reads up to 1"));
    let mut damaged = file.clone();
    damaged[parts(&file)[2].end - 1] ^= 1;
    assert!(refused(&damaged, "pages").contains("damaged at block 2"));
    assert!(refused(&file[..file.len() - 1], "pages").contains("cut off"));
    assert!(refused(&[&file[..], b"\n"].concat(), "pages").contains("bytes follow its end"));
}

/// A file whose sums are all right, as only a program that means harm would write it.
fn forged(head: Head, records: &[u8]) -> Vec<u8> {
    let header = Header { id: 7, written_ms: 0, group: b"pages".to_vec() };
    let mut file = [&header.encode().unwrap(), &head.encode(7, 0)[..], records].concat();
    let bytes = (file.len() + HEAD_BYTES) as u64;
    file.extend(Head::End { entries: 1, bytes }.encode(7, 1));
    file
}

#[test]
fn lengths_that_lie_are_noticed_before_anything_is_allocated() {
    let (_folder, path) = folder();
    let refused = |head: Head, records: &[u8]| {
        fs::write(&path, forged(head, records)).unwrap();
        reason(read(&path))
    };
    let whole = [&record("k", b"v").head().unwrap()[..], b"kv"].concat();
    let sound = Head::Block { entries: 1, len: 23, sum: xxh3_64(&whole) };
    fs::write(&path, forged(sound, &whole)).unwrap();
    assert_eq!(read(&path).unwrap().unwrap().len(), 1, "the forging works");

    for len in [u64::MAX, 1 << 62, 23 + HEAD_BYTES as u64 + 1] {
        let head = Head::Block { entries: 1, len, sum: xxh3_64(&whole) };
        assert!(refused(head, &whole).contains("cut off"), "{len}");
    }
    for entries in [0, 2, u32::MAX] {
        let head = Head::Block { entries, len: 23, sum: xxh3_64(&whole) };
        assert!(refused(head, &whole).contains("damaged at block 0"), "{entries}");
    }
    // The flags, the length of the key, the length of the value.
    for at in [0..1, 1..5, 5..13] {
        let mut records = whole.clone();
        records[at.clone()].fill(0xff);
        let head = Head::Block { entries: 1, len: 23, sum: xxh3_64(&records) };
        assert!(refused(head, &records).contains("damaged at block 0"), "{at:?}");
    }
}
