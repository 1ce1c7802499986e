//! Tree, notes and records, against the standards.

use proptest::prelude::*;
use serde_json::Value;

use crate::audit::fixtures::{allow, decision, event};
use crate::audit::layout::{frontier_text, parse_frontier, sequence_of};
use crate::audit::note::{NoteFault, PublicKey, Signer, hex, split_notes};
use crate::audit::record::encode;
use crate::audit::text::{TEXT_BYTES_MAX, is_unsafe, printable};
use crate::audit::tree::{Frontier, Hash, leaf_hash, node_hash, sha256};
use kernel::event::{Body, Event};

fn tree_of(leaves: &[Vec<u8>]) -> Frontier {
    leaves.iter().fold(Frontier::default(), |mut tree, leaf| {
        tree.push(leaf_hash(leaf));
        tree
    })
}

/// RFC 6962 §2.1, word for word.
fn naive_root(leaves: &[Vec<u8>]) -> Hash {
    match leaves {
        [] => sha256(&[]),
        [one] => leaf_hash(one),
        _ => {
            let split = leaves.len().next_power_of_two() / 2;
            let (left, right) = leaves.split_at(split);
            node_hash(&naive_root(left), &naive_root(right))
        }
    }
}

/// The vectors that implementations of RFC 6962 share: eight leaves, and the root at each size.
#[test]
fn known_roots_are_met() {
    let leaves: Vec<Vec<u8>> = vec![
        vec![],
        vec![0],
        vec![0x10],
        vec![0x20, 0x21],
        vec![0x30, 0x31],
        vec![0x40, 0x41, 0x42, 0x43],
        (0x50..=0x57).collect(),
        (0x60..=0x6f).collect(),
    ];
    let roots = [
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
    for (size, root) in roots.iter().enumerate() {
        assert_eq!(hex(&tree_of(&leaves[..size]).root()), *root, "size {size}");
    }
}

proptest! {
    #[test]
    fn the_frontier_gives_the_root_of_the_whole_tree(leaves in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..200)) {
        let tree = tree_of(&leaves);
        prop_assert_eq!(tree.root(), naive_root(&leaves));
        prop_assert_eq!(parse_frontier(&frontier_text(&tree)), Some(tree));
    }

    #[test]
    fn whatever_a_client_writes_stays_one_line_of_plain_json(text in any::<String>()) {
        let mut facts = decision(1);
        facts.user_agent = Some(text.clone());
        let line = finish(&event(Body::Decision(Box::new(facts))), 7);
        prop_assert!(!line.chars().any(is_unsafe));
        prop_assert_eq!(sequence_of(line.as_bytes()), Some(7));
        let record: Value = serde_json::from_str(&line).unwrap();
        let shown = record.pointer("/http_request/user_agent").and_then(Value::as_str).unwrap();
        prop_assert!(text.starts_with(shown));
    }
}

/// The example of the signed-note format: its key, and a note that was signed elsewhere.
#[test]
fn a_note_of_another_implementation_opens() {
    let key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let note = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\
                \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    let key = PublicKey::parse(key).unwrap();
    // It is no checkpoint, which is what is said of it: the form comes before the signature.
    assert_eq!(key.open(note), Err(NoteFault::Form));
    assert_eq!(key.text(), "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
}

fn signer() -> Signer {
    Signer::new(&[7; 32], "portcullis/gate.test").unwrap()
}

#[test]
fn a_signed_head_opens_with_the_public_key() {
    let mut signer = signer();
    let note = signer.sign(&tree_of(&[vec![1], vec![2]])).unwrap();
    let public = PublicKey::parse(&signer.public().text()).unwrap();
    let head = public.open(&note).unwrap();
    assert_eq!((head.size, Some(&head)), (2, signer.last()));
}

#[test]
fn a_signature_by_another_key_is_passed_over_and_a_false_one_is_not() {
    let mut signer = signer();
    let note = signer.sign(&Frontier::default()).unwrap();
    let witnessed = format!("{note}\u{2014} witness.test AAAAAAAA\n");
    assert!(signer.public().open(&witnessed).is_ok());
    assert_eq!(signer.public().open(&note.replace("\n0\n", "\n1\n")), Err(NoteFault::Signature));
    let stranger = Signer::new(&[8; 32], "portcullis/gate.test").unwrap();
    assert_eq!(stranger.public().open(&note), Err(NoteFault::UnknownKey));
}

#[test]
fn a_head_that_contradicts_an_earlier_one_is_not_signed() {
    let mut signer = signer();
    let (one, other) = (leaf_hash(&[3]), leaf_hash(&[4]));
    signer.sign(&tree_of(&[vec![1], vec![2]])).unwrap();
    assert!(matches!(signer.sign(&tree_of(&[vec![1]])), Err(NoteFault::Inconsistent { .. })));
    assert!(matches!(signer.sign(&tree_of(&[vec![1], vec![3]])), Err(NoteFault::Inconsistent { .. })));
    // A tree that grew, without the proof that it holds what was signed, and with the proof of another tree.
    let grown = tree_of(&[vec![1], vec![2], vec![3]]);
    assert!(matches!(signer.sign(&grown), Err(NoteFault::Inconsistent { .. })));
    assert!(matches!(signer.sign_growth(&grown, &[other]), Err(NoteFault::Inconsistent { .. })));
    assert!(matches!(signer.sign_growth(&tree_of(&[vec![2], vec![2], vec![3]]), &[one]), Err(NoteFault::Inconsistent { .. })));
    assert!(signer.sign(&tree_of(&[vec![1], vec![2]])).is_ok());
    assert!(signer.sign_growth(&grown, &[one]).is_ok());
}

#[test]
fn sizes_with_leading_zeros_signs_or_spaces_are_no_checkpoints() {
    let mut signer = signer();
    let note = signer.sign(&tree_of(&[vec![1], vec![2]])).unwrap();
    for size in ["02", "+2", " 2", "", "2 "] {
        let fault = signer.public().open(&note.replacen("\n2\n", &format!("\n{size}\n"), 1));
        assert_eq!(fault, Err(NoteFault::Form), "{size:?}");
    }
}

#[test]
fn notes_are_split_and_a_torn_one_is_left_over() {
    let mut signer = signer();
    let (one, two) = (signer.sign(&Frontier::default()).unwrap(), signer.sign(&tree_of(&[vec![1]])).unwrap());
    let file = format!("{one}\n{two}\n");
    assert_eq!(split_notes(&file), (vec![one.as_str(), two.as_str()], ""));
    for cut in 1..=two.len() {
        let torn = &file[..one.len() + 1 + two.floor_char_boundary(cut)];
        assert_eq!(split_notes(torn).0, [one.as_str()]);
    }
}

/// The whole line, as the writer finishes it.
fn finish(event: &Event, sequence: u64) -> String {
    let mut line = encode(event, "portcullis/gate.test").unwrap().0;
    line.extend_from_slice(format!("{sequence}}}}}").as_bytes());
    String::from_utf8(line).unwrap()
}

#[test]
fn a_decision_says_what_the_contract_promises() {
    let record: Value = serde_json::from_str(&finish(&allow(1), 0)).unwrap();
    let own = record.pointer("/unmapped/portcullis").unwrap();
    assert_eq!(own["decision"], "allow");
    assert_eq!(own["route"], "app");
    assert_eq!(own["config"], "c0ffee");
    assert_eq!(own["request_id"], "01".repeat(16));
    assert_eq!((&own["raw_target"], &own["target"]), (&Value::from("/a"), &Value::from("/a")));
}

/// AU-01: each of these in each field that a client can fill.
#[test]
fn hostile_text_is_one_escaped_record() {
    let hostile = [
        "\r\n{\"event\":\"login_ok\"}",
        "\u{2028}\u{2029}",
        "\u{1b}[2J\u{1b}]0;pwn\u{7}",
        "\0",
        "\"}}",
        "]\\",
        "%0a",
        "\u{202e}gpj.exe",
        "\u{9b}31m\u{7f}\u{feff}\u{e0041}",
        "\",\"sequence\":9}}",
    ];
    for text in hostile {
        let mut facts = decision(1);
        facts.method = text.to_owned();
        facts.authority = text.to_owned();
        facts.raw_target = text.to_owned();
        facts.user_agent = Some(text.to_owned());
        facts.server_name = Some(text.to_owned());
        facts.parameters = vec![(text.to_owned(), text.to_owned())];
        if let Some(actor) = &mut facts.actor {
            actor.subject.sub = text.to_owned();
            actor.groups = vec![text.to_owned()];
        }
        let line = finish(&event(Body::Decision(Box::new(facts))), 5);
        assert!(!line.chars().any(is_unsafe), "{text:?}");
        assert_eq!(sequence_of(line.as_bytes()), Some(5), "{text:?}");
        let record: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(record.pointer("/http_request/user_agent").and_then(Value::as_str), Some(text));
        assert_eq!(record.pointer("/metadata/sequence"), Some(&Value::from(5)));
        assert!(!printable(text).chars().any(is_unsafe));
    }
}

/// Each by its number, so that a gap in the table of unsafe letters shows.
#[test]
fn letters_that_act_or_hide_are_escaped() {
    let letters = "\u{0}\u{8}\u{1b}\u{7f}\u{80}\u{85}\u{9b}\u{9f}\u{61c}\u{200b}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2066}\u{2069}\u{feff}\u{e0041}";
    for letter in letters.chars() {
        let mut facts = decision(1);
        facts.user_agent = Some(format!("a{letter}b"));
        let line = finish(&event(Body::Decision(Box::new(facts))), 0);
        assert!(!line.contains(letter) && line.is_ascii(), "{letter:?}");
        let record: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(record.pointer("/http_request/user_agent"), Some(&Value::from(format!("a{letter}b"))));
        assert!(printable(&letter.to_string()).is_ascii());
    }
}

#[test]
fn long_text_is_cut_and_named_by_its_hash() {
    let text = "ä".repeat(500_000);
    let mut facts = decision(1);
    facts.user_agent = Some(text.clone());
    let record: Value = serde_json::from_str(&finish(&event(Body::Decision(Box::new(facts))), 0)).unwrap();
    assert_eq!(record.pointer("/http_request/user_agent").and_then(Value::as_str).unwrap().len(), TEXT_BYTES_MAX);
    let own = record.pointer("/unmapped/portcullis").unwrap();
    assert_eq!(own["truncated"], true);
    assert_eq!(own["full"][0]["field"], "http_request.user_agent");
    assert_eq!(own["full"][0]["bytes"], 1_000_000);
    assert_eq!(own["full"][0]["sha256"], hex(&sha256(text.as_bytes())));
}

#[test]
fn many_groups_are_cut_and_named_by_their_hash() {
    let mut facts = decision(1);
    facts.actor.as_mut().unwrap().groups = (0..10_000).map(|group| format!("g{group}")).collect();
    let line = finish(&event(Body::Decision(Box::new(facts))), 0);
    assert!(line.len() < 10_000);
    assert!(line.contains("\"truncated\":true"));
}

#[test]
fn a_query_that_slipped_into_a_target_is_not_recorded() {
    let mut facts = decision(1);
    facts.raw_target = "/a?token=canary-1".to_owned();
    facts.target = None;
    let line = finish(&event(Body::Decision(Box::new(facts))), 0);
    assert!(!line.contains("canary-1"), "{line}");
}

/// A key's name and a log's origin are one here; a note that says otherwise is of another log.
#[test]
fn a_head_of_another_log_by_the_same_key_is_refused() {
    use aws_lc_rs::signature::Ed25519KeyPair;
    use base64::{Engine, engine::general_purpose::STANDARD};

    let mut signer = signer();
    let note = signer.sign(&Frontier::default()).unwrap();
    let id = &STANDARD.decode(note.trim_end().rsplit_once(' ').unwrap().1).unwrap()[..4];
    let text = note.split("\n\n").next().unwrap().replacen("gate.test", "other.test", 1) + "\n";
    let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let signature = STANDARD.encode([id, key.sign(text.as_bytes()).as_ref()].concat());
    let forged = format!("{text}\n\u{2014} portcullis/gate.test {signature}\n");
    assert_eq!(signer.public().open(&forged), Err(NoteFault::Origin("portcullis/other.test".to_owned())));
}
