//! Vectors that implementations of RFC 6962 and of signed notes share.

use portcullis_verify::note::{NoteFault, PublicKey, hex};
use portcullis_verify::proof::{is_consistent, is_included, prove_consistency, prove_inclusion};
use portcullis_verify::tree::{Frontier, Hash, leaf_hash, node_hash};

/// The eight leaves of the Certificate Transparency reference tree.
fn leaves() -> Vec<Vec<u8>> {
    vec![
        vec![],
        vec![0],
        vec![0x10],
        vec![0x20, 0x21],
        vec![0x30, 0x31],
        vec![0x40, 0x41, 0x42, 0x43],
        (0x50..=0x57).collect(),
        (0x60..=0x6f).collect(),
    ]
}

/// The root at each size, from none.
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn root(size: usize) -> Hash {
    let mut tree = Frontier::default();
    leaves()[..size].iter().for_each(|leaf| tree.push(leaf_hash(leaf)));
    tree.root()
}

fn node(height: u32, index: u64) -> Result<Hash, ()> {
    if height == 0 {
        return Ok(leaf_hash(&leaves()[index as usize]));
    }
    Ok(node_hash(&node(height - 1, index * 2)?, &node(height - 1, index * 2 + 1)?))
}

#[test]
fn the_published_roots_are_met() {
    for (size, expected) in ROOTS.iter().enumerate() {
        assert_eq!(hex(&root(size)), *expected, "size {size}");
    }
}

#[test]
fn the_published_inclusion_proofs_are_made_and_hold() {
    const ONE: &str = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
    const TWO: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
    let cases: &[(usize, usize, &[&str])] = &[
        (0, 1, &[]),
        (0, 8, &[ONE, TWO, "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"]),
        (
            5,
            8,
            &[
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                ROOTS[4],
            ],
        ),
        (2, 3, &[ROOTS[2]]),
        (1, 5, &[ROOTS[1], TWO, "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"]),
    ];
    for (index, size, expected) in cases {
        let path = prove_inclusion(*size as u64, *index as u64, &mut node).unwrap();
        let shown: Vec<String> = path.iter().map(|hash| hex(hash)).collect();
        assert_eq!(shown, *expected, "{index} in {size}");
        assert!(is_included(&leaf_hash(&leaves()[*index]), *index as u64, *size as u64, &path, &root(*size)));
    }
}

#[test]
fn the_published_consistency_proofs_are_made_and_hold() {
    const ONE: &str = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
    const TWO: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
    let cases: &[(usize, usize, &[&str])] = &[
        (1, 1, &[]),
        (1, 8, &[ONE, TWO, "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"]),
        (
            6,
            8,
            &[
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                ROOTS[4],
            ],
        ),
        (2, 5, &[TWO, "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"]),
    ];
    for (old, new, expected) in cases {
        let path = prove_consistency(*old as u64, *new as u64, &mut node).unwrap();
        let shown: Vec<String> = path.iter().map(|hash| hex(hash)).collect();
        assert_eq!(shown, *expected, "{old} to {new}");
        assert!(is_consistent((*old as u64, &root(*old)), (*new as u64, &root(*new)), &path));
    }
}

/// The example in the documentation of Go's `sumdb/note`.
const VKEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const TEXT: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const SIGNATURE: &str =
    "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

#[test]
fn the_note_of_the_go_documentation_opens() {
    let key = PublicKey::parse(VKEY).unwrap();
    assert_eq!(key.text(), VKEY);
    let note = format!("{TEXT}\n{SIGNATURE}");
    assert_eq!(key.open_text(&note).as_deref(), Ok(TEXT));
    // It is no checkpoint.
    assert_eq!(key.open(&note), Err(NoteFault::Form));
    let witnessed =
        format!("{note}\u{2014} EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n");
    assert_eq!(key.open_text(&witnessed).as_deref(), Ok(TEXT));
}

#[test]
fn notes_that_go_refuses_are_refused() {
    let key = PublicKey::parse(VKEY).unwrap();
    let note = format!("{TEXT}\n{SIGNATURE}");
    for bad in [
        note.replace("cryptography", "cryptographY"),
        note.replace("\n\n", "\n"),
        note.trim_end().to_owned(),
        format!("{note}\n"),
        note.replace('\u{2014}', "-"),
        note.replace("x08go", "x08gp"),
        note.replace("PeterNeumann ", "PeterNeuman "),
        format!("{}\u{1}{note}", ""),
        note.replace('\n', "\r\n"),
        String::new(),
    ] {
        assert!(key.open_text(&bad).is_err(), "{bad:?}");
    }
}

/// No part of a key, and no key with one letter changed, is a key.
#[test]
fn keys_that_go_refuses_are_refused() {
    for start in 0..VKEY.len() {
        for end in start..=VKEY.len() {
            assert_eq!(PublicKey::parse(&VKEY[start..end]).is_ok(), start == 0 && end == VKEY.len(), "{start}..{end}");
        }
    }
    for at in 0..VKEY.len() {
        let mut bytes = VKEY.as_bytes().to_vec();
        bytes[at] += 1;
        assert!(PublicKey::parse(&String::from_utf8_lossy(&bytes)).is_err(), "{at}");
    }
    for bad in [
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ] {
        assert!(PublicKey::parse(bad).is_err(), "{bad}");
    }
}
