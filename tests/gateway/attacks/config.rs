//! Reloads (CF-03, CF-04), limits, and what happens when no record can be kept (AU-07).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{APP_RULES, start, start_with};
use crate::support::{APP, Manner};

const LEFT: &str = "[[allow]]\nid = \"left\"\npublic = true\npaths = [\"/left/**\"]\n";
const RIGHT: &str = "[[allow]]\nid = \"right\"\npublic = true\npaths = [\"/right/**\"]\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_interleaving_of_reloads_allows_what_neither_side_allows() {
    let world = start_with("per_address = { rate = \"100000/s\", burst = 100000 }\n").await;
    world.rewrite("app", LEFT);
    world.server().reload().await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let asking = tokio::spawn({
        let (world, done) = (Arc::clone(&world), Arc::clone(&done));
        async move {
            let mut client = world.wire(APP).await;
            let mut answers = Vec::new();
            while !done.load(Ordering::Acquire) {
                for target in ["/left/x", "/right/x", "/neither/x"] {
                    // None: cut in the middle of its body.
                    let status = client.ask("GET", target, APP, "").await.map(|reply| reply.status);
                    if status.is_none() {
                        client = world.wire(APP).await;
                    }
                    answers.push((target, status));
                }
            }
            answers
        }
    });
    // A longer run is the same with a bigger number.
    let rounds = std::env::var("PORTCULLIS_RELOADS").map_or(40, |number| number.parse().expect("a number"));
    for round in 0..rounds {
        world.rewrite("app", if round % 2 == 0 { RIGHT } else { LEFT });
        world.server().reload().await.unwrap();
    }
    done.store(true, Ordering::Release);
    let answers = asking.await.unwrap();
    assert!(answers.iter().all(|(target, status)| *target != "/neither/x" || *status == Some(401)));
    assert!(answers.iter().all(|(_, status)| matches!(status, None | Some(200 | 401))), "every request has an answer of one side");
    let decisions = world.decisions();
    // A request that was under way when its side was closed is cut; what becomes of it is told by its exchange's end.
    assert_eq!(decisions.len(), answers.len(), "one record of each decision");
    // One configuration, one answer: the hash on record says which side decided.
    let mut sides = std::collections::BTreeMap::new();
    for own in decisions.iter().filter(|own| own["decision"] == "allow") {
        let side = own["rule"].as_str().unwrap().to_owned();
        assert_eq!(sides.entry(own["config"].to_string()).or_insert_with(|| side.clone()), &side);
        assert!(own["target"].as_str().unwrap().starts_with(&format!("/{side}/")));
    }
    assert!(world.upstream.received().iter().all(|head| !head.contains("/neither/")));
}

#[tokio::test]
async fn an_open_stream_is_cut_when_policy_no_longer_allows_it() {
    let world = start().await;
    let cookie = format!("Cookie: __Host-portcullis={}\r\n", world.seat(APP, &["staff"]).await);
    world.upstream.answer_with(Manner::Stream);
    let mut stream = world.wire(APP).await;
    assert_eq!(stream.ask_head("GET", "/app/stream", APP, &cookie).await.unwrap().status, 200);
    world.rewrite("app", LEFT);
    world.server().reload().await.unwrap();
    tokio::time::timeout(std::time::Duration::from_secs(5), stream.ended()).await.expect("cut within five seconds");
    let outcome = world.until(|world| world.events("exchange_end").first().map(|own| own["outcome"].clone())).await;
    assert_eq!(outcome, "cut");
}

#[tokio::test]
async fn an_open_stream_that_policy_still_allows_goes_on() {
    let world = start().await;
    let cookie = format!("Cookie: __Host-portcullis={}\r\n", world.seat(APP, &["staff"]).await);
    world.upstream.answer_with(Manner::Stream);
    let mut stream = world.wire(APP).await;
    assert_eq!(stream.ask_head("GET", "/app/stream", APP, &cookie).await.unwrap().status, 200);
    world.rewrite("app", &format!("{APP_RULES}{LEFT}"));
    world.server().reload().await.unwrap();
    assert_eq!(world.server().gateway().exchanges.count(), 1);
    assert_eq!(world.events("exchange_end").len(), 0);
}

#[tokio::test]
async fn a_broken_configuration_is_refused_recorded_and_changes_nothing() {
    let world = start().await;
    let hash = Arc::clone(&world.server().gateway().snapshot.load().hash);
    for broken in [
        "[[allow]]\nid = \"x\"\npaths = [\"/**\"]\n",
        "[[allow]]\nid = \"x\"\npublic = true\npaths = [\"/../x\"]\n",
        "[[allow]]\nid = \"x\"\npublic = true\npathes = [\"/**\"]\n",
        "this is not toml",
        "[[test]]\nas = { user = \"a@example.com\", groups = [] }\nrequest = \"GET /x\"\nexpect = \"allow\"\n",
    ] {
        let before = world.events("configuration").len();
        world.rewrite("app", broken);
        world.server().reload().await.unwrap_err();
        assert_eq!(world.events("configuration").len(), before + 1, "the refusal is on record: {broken}");
        assert_eq!(world.server().gateway().snapshot.load().hash, hash, "{broken}");
        let mut client = world.wire(APP).await;
        assert_eq!(client.ask("GET", "/public/x", APP, "").await.unwrap().status, 200);
        assert_eq!(client.ask("GET", "/x", APP, "").await.unwrap().status, 401);
    }
}

#[tokio::test]
async fn more_than_the_rate_is_told_when_to_come_back() {
    let world = start_with("per_address = { rate = \"2/h\", burst = 2 }\n").await;
    let mut client = world.wire(APP).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let reply = client.ask("GET", "/public/x", APP, "").await.unwrap();
        if reply.status == 429 {
            assert!(reply.field("retry-after").unwrap().parse::<u64>().unwrap() > 0);
        }
        statuses.push(reply.status);
    }
    assert_eq!(statuses, [200, 200, 429, 429]);
    assert_eq!(world.upstream.received().len(), 2);
    let reasons: Vec<_> = world.decisions().iter().map(|own| own["reason"].clone()).collect();
    assert_eq!(reasons[2..], ["rate_limited", "rate_limited"]);
}

#[tokio::test]
async fn what_cannot_be_recorded_does_not_pass() {
    let world = start().await;
    let mut client = world.wire(APP).await;
    assert_eq!(client.ask("GET", "/public/x", APP, "").await.unwrap().status, 200);
    world.upstream.received();
    let audit = world.server().gateway().audit.clone();
    tokio::task::spawn_blocking(move || audit.shutdown()).await.unwrap();
    for target in ["/public/x", "/app/x", "/public/%2e%2e/x"] {
        let reply = world.wire(APP).await.ask("GET", target, APP, "").await.unwrap();
        assert_eq!(reply.status, 503, "{target}");
        assert!(reply.text().contains("audit_unavailable"), "{target}: {reply:?}");
    }
    assert_eq!(world.upstream.received(), Vec::<String>::new());
}

#[tokio::test]
async fn the_end_of_a_session_cuts_its_streams_and_its_cookie_opens_nothing_more() {
    use kernel::session::EndReason;
    use portcullis::store::SessionFilter;

    let world = start().await;
    let cookie = format!("Cookie: __Host-portcullis={}\r\n", world.seat(APP, &["staff"]).await);
    world.upstream.answer_with(Manner::Stream);
    let mut stream = world.wire(APP).await;
    assert_eq!(stream.ask_head("GET", "/app/stream", APP, &cookie).await.unwrap().status, 200);
    world.server().gateway().sessions.end(SessionFilter::All, EndReason::Revoke).await.unwrap();
    tokio::time::timeout(std::time::Duration::from_secs(5), stream.ended()).await.expect("cut within five seconds");
    world.upstream.received();
    assert_eq!(world.wire(APP).await.ask("GET", "/app/x", APP, &cookie).await.unwrap().status, 401);
    assert_eq!(world.upstream.received(), Vec::<String>::new());
}
