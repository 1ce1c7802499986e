//! Certificates are checked whole before they are used.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use kernel::time::Timestamp;
use tempfile::TempDir;

use super::*;
use crate::listener::tests::{Authority, NOW};

struct Files {
    _folder: TempDir,
    cert: PathBuf,
    key: PathBuf,
}

fn write(cert: &str, key: &str) -> Files {
    let folder = tempfile::tempdir().unwrap();
    let files = Files { cert: folder.path().join("gate.pem"), key: folder.path().join("gate.key"), _folder: folder };
    fs::write(&files.cert, cert).unwrap();
    fs::write(&files.key, key).unwrap();
    set_mode(&files, 0o600);
    files
}

fn set_mode(files: &Files, mode: u32) {
    fs::set_permissions(&files.key, fs::Permissions::from_mode(mode)).unwrap();
}

/// Refused, with a message that names the file at fault.
fn refused(files: &Files, now: Timestamp, names: &str, says: &str) {
    let fault = Certificate::load(&files.cert, &files.key, now).unwrap_err().to_string();
    assert!(fault.contains(names) && fault.contains(says), "{fault}");
}

#[test]
fn a_certificate_tells_its_names_in_lower_case() {
    let (cert, key) = Authority::new().issue(&["App.test", "*.W.test"]);
    let files = write(&cert, &key);
    let certificate = Certificate::load(&files.cert, &files.key, NOW).unwrap();
    assert_eq!(certificate.names(), ["app.test".into(), Box::<str>::from("*.w.test")]);
    assert!(certificate.not_after() > NOW);
}

#[test]
fn a_key_that_everybody_can_read_is_refused() {
    let (cert, key) = Authority::new().issue(&["app.test"]);
    let files = write(&cert, &key);
    for mode in [0o604, 0o644, 0o602, 0o601] {
        set_mode(&files, mode);
        refused(&files, NOW, "gate.key", "can be read by everybody");
    }
    set_mode(&files, 0o640);
    Certificate::load(&files.cert, &files.key, NOW).unwrap();
}

#[test]
fn broken_files_are_refused_by_name() {
    let authority = Authority::new();
    let (cert, key) = authority.issue(&["app.test"]);
    let (_, other_key) = authority.issue(&["app.test"]);
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    refused(&write(&cert, &other_key), NOW, "gate.key", "is not the key of");
    refused(&write("", &key), NOW, "gate.pem", "holds no certificate");
    refused(&write("text", &key), NOW, "gate.pem", "holds no certificate");
    refused(&write(&key, &cert), NOW, "gate.pem", "holds no certificate");
    refused(&write(garbage, &key), NOW, "gate.pem", "not a certificate");
    refused(&write(&cert[..cert.len() / 2], &key), NOW, "gate.pem", "certificate");
    refused(&write(&cert, ""), NOW, "gate.key", "holds no private key");
    refused(&write(&cert, &cert), NOW, "gate.key", "holds no private key");
    refused(&write(&cert, &"a".repeat(2 * 1024 * 1024)), NOW, "gate.key", "larger than 1 MiB");
}

#[test]
fn missing_files_and_folders_are_refused_by_name() {
    let (cert, key) = Authority::new().issue(&["app.test"]);
    let files = write(&cert, &key);
    fs::remove_file(&files.key).unwrap();
    refused(&files, NOW, "gate.key", "cannot be read");
    fs::create_dir(&files.key).unwrap();
    refused(&files, NOW, "gate.key", "not a regular file");
}

#[test]
fn certificates_out_of_their_time_are_refused() {
    let (cert, key) = Authority::new().issue(&["app.test"]);
    let files = write(&cert, &key);
    refused(&files, Timestamp::EPOCH, "gate.pem", "not valid before");
    refused(&files, Timestamp::from_seconds(100_000_000_000), "gate.pem", "expired");
}

#[test]
fn a_certificate_without_a_dns_name_is_refused() {
    let authority = Authority::new();
    let (cert, key) = authority.issue(&[]);
    refused(&write(&cert, &key), NOW, "gate.pem", "names no DNS host");
    let (cert, key) = authority.issue(&["192.0.2.1"]);
    refused(&write(&cert, &key), NOW, "gate.pem", "names no DNS host");
}

#[test]
fn without_a_certificate_nobody_is_shaken_hands_with() {
    let tls = ServerTls::new(Profile::Modern, Protocols::default(), Vec::new()).unwrap();
    assert!(tls.config_for("app.test").is_none());
    tls.replace(vec![Authority::new().certificate(&["app.test"])]).unwrap();
    assert!(tls.config_for("app.test").is_some());
    tls.replace(Vec::new()).unwrap();
    assert!(tls.config_for("app.test").is_none());
}

#[test]
fn early_data_is_off_and_the_profiles_are_what_they_say() {
    for profile in [Profile::Modern, Profile::Intermediate] {
        let tls = ServerTls::new(profile, Protocols::default(), vec![Authority::new().certificate(&["app.test"])]).unwrap();
        let config = tls.config_for("app.test").unwrap();
        assert_eq!((config.max_early_data_size, config.send_half_rtt_data, config.require_ems), (0, false, true));
        assert!(config.ticketer.enabled() && config.ticketer.lifetime() <= 24 * 3_600);
        assert_eq!(config.crypto_provider().kx_groups[0].name(), rustls::NamedGroup::X25519MLKEM768);
    }
}
