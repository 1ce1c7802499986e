//! What is seen of a running gateway from outside: exchanges under way, and the files for Prometheus and Grafana.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use super::support::{Upstream, World, free_port, wait};

const ALERTS: &str = include_str!("../../config/observability/alerts.yml");
const DASHBOARD: &str = include_str!("../../config/observability/grafana.json");

#[test]
fn connections_shows_what_is_under_way_and_the_look_is_on_record() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let world = World::with_upstream(&format!("http://{}", listener.local_addr().unwrap()));
    let gateway = world.serve();
    assert!(world.check(&["connections"], 0).0.contains("REQUEST"));
    thread::scope(|scope| {
        let client = scope.spawn(|| world.get("/p/slow"));
        let (mut held, _) = listener.accept().unwrap();
        let mut asked = [0; 4_096];
        let length = held.read(&mut asked).unwrap();
        let head = String::from_utf8_lossy(&asked[..length]).to_ascii_lowercase();
        held.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nla").unwrap();
        let mut line = serde_json::Value::Null;
        wait("two bytes have passed", || {
            let json = world.check(&["connections", "--route", "app", "--output", "json"], 0).0;
            line = serde_json::from_str::<serde_json::Value>(&json).unwrap()["connections"][0].clone();
            line["bytes_out"] == 2
        });
        assert_eq!((&line["route"], &line["method"], &line["path"]), (&"app".into(), &"GET".into(), &"/p/slow".into()));
        assert_eq!((&line["kind"], &line["client"], &line["user"]), (&"http".into(), &"127.0.0.1".into(), &serde_json::Value::Null));
        let id = line["request_id"].as_str().unwrap();
        assert!(head.contains(&format!("traceparent: 00-{id}-{}-01\r\n", &id[16..])), "{head}");
        for filter in [["--route", "other"], ["--user", "ana@example.com"]] {
            let json = world.check(&[&["connections", "--output", "json"][..], &filter].concat(), 0).0;
            assert!(!json.contains("/p/slow"), "{json}");
        }
        let metrics = world.operations("/metrics").unwrap().1;
        assert!(metrics.contains("portcullis_exchanges_in_flight{route=\"app\"} 1\n"), "{metrics}");
        held.write_all(b"te").unwrap();
        assert_eq!(client.join().unwrap(), (200, "late".to_owned()));
    });
    assert!(gateway.stop().success());
    let consulted = world.records().iter().filter(|record| record["unmapped"]["portcullis"]["event"] == "consult").count();
    assert!(consulted >= 4, "each look is on record");
}

/// The names of ours in a text.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    words.filter(|word| word.starts_with("portcullis_")).map(str::to_owned).collect()
}

/// Whether a name is a series of one of the families that a gateway states.
fn is_stated(metrics: &str, name: &str) -> bool {
    let is_family = |name: &str| metrics.lines().any(|line| line.starts_with(&format!("# TYPE {name} ")));
    let kinds = ["_total", "_bucket", "_sum", "_count", "_info"];
    is_family(name) || NOT_YET.contains(&name) || kinds.iter().any(|kind| name.strip_suffix(kind).is_some_and(is_family))
}

/// Counted by names that are not known before it happens, so that nothing is stated until then.
const NOT_YET: &[&str] = &["portcullis_findings_total"];

#[test]
fn every_metric_of_alerts_dashboard_and_docs_is_one_that_a_gateway_states() {
    let upstream = Upstream::start();
    let world = World::with_upstream(&upstream.url);
    // Sinks have metrics where there are sinks.
    world.edit("portcullis.toml", |main| format!("{main}\n[[audit.sink]]\nname = \"copy\"\nkind = \"file\"\npath = \"copy.jsonl\"\n"));
    // So has an authority, here one that does not answer.
    let acme = "[tls.acme]\ndirectory = \"https://127.0.0.1:9/dir\"\nterms_accepted = true\nhosts = [\"app.localhost\"]\nchallenge = \"http-01\"\n";
    let redirect = format!("[redirect]\nbind = \"127.0.0.1:{}\"\n", free_port());
    world.edit("portcullis.toml", |main| format!("{main}\n{acme}\n{redirect}"));
    let gateway = world.serve();
    wait("an order fails", || world.operations("/metrics").unwrap().1.contains("portcullis_acme_orders_total{"));
    assert_eq!(world.get("/p/x").0, 200);
    assert_eq!(world.get("/private").0, 401);
    let metrics = world.operations("/metrics").unwrap().1;
    for (file, text) in [("alerts.yml", ALERTS), ("grafana.json", DASHBOARD)] {
        let names = named(text);
        assert!(names.len() > 8, "{file}");
        let unknown: Vec<_> = names.iter().filter(|name| !is_stated(&metrics, name)).collect();
        assert!(unknown.is_empty(), "{file} names what no gateway states: {unknown:?}");
    }
    let docs = include_str!("../../docs/operating.md").to_owned() + include_str!("../../docs/sinks.md");
    let untold: Vec<_> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .filter(|family| !named(&docs).iter().any(|name| name.starts_with(family)))
        // Those of sinks are told by what follows the first one's beginning.
        .filter(|family| !family.strip_prefix("portcullis_audit_sink").is_some_and(|rest| docs.contains(&format!("`{rest}"))))
        .collect();
    assert!(untold.is_empty(), "families that no document tells of: {untold:?}");
    assert!(gateway.stop().success());
}

#[test]
fn each_alert_says_when_how_bad_and_what_to_do_and_the_dashboard_is_whole() {
    let alerts: Vec<_> = ALERTS.split("      - alert: ").skip(1).collect();
    assert!(alerts.len() >= 10);
    for alert in alerts {
        let name = alert.lines().next().unwrap();
        for part in ["        expr: ", "          severity: ", "          summary: ", "          description: "] {
            assert!(alert.contains(part), "{name} has no {part}");
        }
        assert!(!named(alert).is_empty() || alert.contains("up{"), "{name} looks at nothing");
    }
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has a number of its own");
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().unwrap() {
            assert!(!named(target["expr"].as_str().unwrap()).is_empty(), "{title} looks at nothing");
        }
    }
}
