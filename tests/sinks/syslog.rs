//! Syslog over TLS against a strict server of our own: framing, replay, certificates.

use std::time::Duration;

use super::certificates::{Authority, Clients};
use super::log::{Log, Whole, compare, sink, syslog, tls, until};
use super::receivers::{Manner, SyslogServer, parse};

const NAME: &str = "siem.test";

fn texts(messages: &[String]) -> Vec<String> {
    messages.iter().map(|message| parse(message).text).collect()
}

#[tokio::test]
async fn every_record_is_one_message_whatever_it_holds() {
    let (authority, log) = (Authority::new(), Log::new());
    let server = SyslogServer::start(authority.server(NAME, Clients::Anybody), Manner::Read).await;
    log.write(60).await;
    log.sinks.configure(&[sink("one", syslog(server.address.port(), tls(&authority, NAME)))]).await;
    log.shipped().await;
    let messages = server.messages();
    compare(&log, &texts(&messages), Whole::OrShort);
    assert_eq!(server.connections(), 1);
    let parsed: Vec<_> = messages.iter().map(|message| parse(message)).collect();
    assert!(messages.iter().all(|message| message.len() <= 8_192));
    assert!(parsed.iter().any(|message| message.text.contains("shortened")), "a megabyte came in short form");
    for message in &parsed {
        assert_eq!((message.priority / 8, &*message.host), (13, "gate.test"));
        let event: serde_json::Value = serde_json::from_str(&message.text).unwrap();
        let value = |name: &str| message.data.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        assert_eq!(value("uid").as_deref(), event["metadata"]["uid"].as_str());
        assert_eq!(value("sequence"), event["metadata"]["sequence"].as_u64().map(|sequence| sequence.to_string()));
        assert_eq!(Some(&*message.id), event["unmapped"]["portcullis"]["event"].as_str());
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_in_a_frame_loses_nothing() {
    let (authority, log) = (Authority::new(), Log::new());
    let config = authority.server(NAME, Clients::Anybody);
    let first = SyslogServer::start(config.clone(), Manner::CutAfter(7)).await;
    log.write(50).await;
    log.signed().await;
    log.sinks.configure(&[sink("one", syslog(first.address.port(), tls(&authority, NAME)))]).await;
    until("the cut is noticed", || log.report().errors > 0).await;
    let mut received = first.messages();
    first.stop().await;
    let second = SyslogServer::start_at(first.address, config, Manner::Read).await;
    log.shipped().await;
    let again = second.messages();
    assert!(received.iter().all(|message| again.contains(message)), "what was sent last is sent again, byte by byte");
    received.extend(again);
    compare(&log, &texts(&received), Whole::OrShort);
}

#[tokio::test]
async fn a_receiver_that_restarts_gets_what_it_missed() {
    let (authority, log) = (Authority::new(), Log::new());
    let config = authority.server(NAME, Clients::Anybody);
    let mut received = Vec::new();
    let mut server = SyslogServer::start(config.clone(), Manner::Read).await;
    log.sinks.configure(&[sink("one", syslog(server.address.port(), tls(&authority, NAME)))]).await;
    for _ in 0..3 {
        let seen = server.messages().len();
        log.write(30).await;
        until("something arrives", || server.messages().len() > seen).await;
        server.stop().await;
        let address = server.address;
        received.extend(server.messages());
        log.write(10).await;
        until("the end is noticed", || log.report().last_error.is_some()).await;
        server = SyslogServer::start_at(address, config.clone(), Manner::Read).await;
    }
    log.shipped().await;
    received.extend(server.messages());
    compare(&log, &texts(&received), Whole::OrShort);
}

#[tokio::test]
async fn a_receiver_that_hangs_costs_a_timeout_and_nothing_else() {
    let (authority, log) = (Authority::new(), Log::new());
    let config = authority.server(NAME, Clients::Anybody);
    let hanging = SyslogServer::start(config.clone(), Manner::Hang).await;
    let mut impatient = sink("one", syslog(hanging.address.port(), tls(&authority, NAME)));
    impatient.timeout = Duration::from_millis(100);
    log.sinks.configure(&[impatient]).await;
    log.write(20).await;
    until("it is told", || log.report().last_error.is_some_and(|error| error.contains("did not answer"))).await;
    log.write(20).await;
    assert_eq!(log.report().next, 0);
    hanging.stop().await;
    let server = SyslogServer::start_at(hanging.address, config, Manner::Read).await;
    log.shipped().await;
    compare(&log, &texts(&server.messages()), Whole::OrShort);
}

#[tokio::test]
async fn nothing_is_sent_to_a_server_that_is_not_the_one_meant() {
    let (authority, other, log) = (Authority::new(), Authority::new(), Log::new());
    log.write(10).await;
    log.signed().await;
    // A certificate of somebody else, one with another name, and no client certificate where one is asked for.
    let wrong = [
        (other.server(NAME, Clients::Anybody), tls(&authority, NAME)),
        (authority.server("other.test", Clients::Anybody), tls(&authority, NAME)),
        (authority.server(NAME, Clients::Known), tls(&authority, NAME)),
    ];
    for (number, (config, tls)) in wrong.into_iter().enumerate() {
        let server = SyslogServer::start(config, Manner::Read).await;
        log.sinks.configure(&[sink(&format!("sink-{number}"), syslog(server.address.port(), tls))]).await;
        until("it is refused", || log.report().errors > 1).await;
        assert_eq!(server.messages(), Vec::<String>::new());
        assert!(server.raw().iter().all(|first| first.first().is_none_or(|byte| *byte == 0x16)), "TLS is all that is ever spoken");
        assert!(server.connections() > 0);
        assert_eq!(log.report().next, 0);
    }
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_is_shown_one() {
    let (authority, log) = (Authority::new(), Log::new());
    let server = SyslogServer::start(authority.server(NAME, Clients::Known), Manner::Read).await;
    log.write(10).await;
    let mut tls = tls(&authority, NAME);
    tls.certificate = Some(authority.client("gate.test"));
    log.sinks.configure(&[sink("one", syslog(server.address.port(), tls))]).await;
    log.shipped().await;
    compare(&log, &texts(&server.messages()), Whole::OrShort);
}

#[tokio::test]
async fn a_restart_goes_on_where_the_receiver_stood() {
    let (authority, log) = (Authority::new(), Log::new());
    let server = SyslogServer::start(authority.server(NAME, Clients::Anybody), Manner::Read).await;
    let same = || sink("one", syslog(server.address.port(), tls(&authority, NAME)));
    log.sinks.configure(&[same()]).await;
    log.write(40).await;
    log.shipped().await;
    let log = log.restart().await;
    log.sinks.configure(&[same()]).await;
    log.write(40).await;
    log.shipped().await;
    let messages = server.messages();
    compare(&log, &texts(&messages), Whole::OrShort);
    assert!(messages.len() < 2 * log.lines().len(), "{} messages of {} records", messages.len(), log.lines().len());
}
