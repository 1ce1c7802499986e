//! Sinks of the built binary: killed, reloaded, asked about, checked.

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::Value;

use super::support::{World, wait};

fn file(world: &World, name: &str) -> PathBuf {
    world.dir.path().join(name)
}

/// Adds a sink for a file outside the configuration.
fn add_file_sink(world: &World, name: &str, more: &str) {
    let path = file(world, name);
    world.edit("portcullis.toml", |main| {
        format!(
            "{main}\n[[audit.sink]]\nkind = \"file\"\nname = \"{name}\"\npath = \"{}\"\nflush_interval = \"20ms\"\n{more}\n",
            path.display()
        )
    });
}

fn events(world: &World, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(file(world, name)).unwrap_or_default();
    text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn sequences(world: &World, name: &str) -> Vec<u64> {
    events(world, name).iter().filter_map(|event| event["metadata"]["sequence"].as_u64()).collect()
}

#[test]
fn kills_lose_nothing_that_a_sink_was_to_have() {
    let world = World::new();
    add_file_sink(&world, "out", "");
    for kill in 0..5 {
        let gateway = world.serve();
        for number in 0..20 {
            world.get(&format!("/p/{kill}-{number}"));
        }
        // Some kills come between a record and its checkpoint, some in the middle of shipping.
        let seen = sequences(&world, "out").len();
        if kill % 2 == 0 {
            wait("something is shipped", || sequences(&world, "out").len() > seen);
        }
        gateway.kill();
    }
    assert!(world.serve().stop().success());
    let records = world.records();
    let shipped = events(&world, "out");
    let mut next = 0;
    for event in shipped.iter().filter(|event| event["metadata"]["sequence"].is_u64()) {
        let sequence = event["metadata"]["sequence"].as_u64().unwrap();
        assert_eq!(*event, records[usize::try_from(sequence).unwrap()], "a duplicate is the same record");
        assert!(sequence <= next, "first sights come in order");
        next = next.max(sequence + 1);
    }
    assert_eq!(next, records.len() as u64, "everything is shipped, the last stop included");
    assert_eq!(records.last().unwrap()["unmapped"]["portcullis"]["event"], "stop");
    assert!(shipped.last().unwrap()["unmapped"]["portcullis"]["checkpoint"].as_str().unwrap().contains(&format!("\n{next}\n")));
}

/// As a container's log driver reads it: standard output holds records and checkpoints, one a line, and nothing else.
#[test]
fn standard_output_has_every_record_in_order_and_nothing_but_records() {
    let world = World::new();
    world.edit("portcullis.toml", |main| format!("{main}\n[[audit.sink]]\nkind = \"stdout\"\nflush_interval = \"20ms\"\n"));
    let out = || fs::read_to_string(world.dir.path().join("serve.out")).unwrap_or_default();
    let gateway = world.serve();
    for number in 0..20 {
        world.get(&format!("/p/{number}"));
    }
    wait("the last request is shipped", || out().contains("/p/19"));
    assert!(gateway.stop().success());
    let shipped: Vec<Value> = out().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (records, checkpoints): (Vec<_>, Vec<_>) = shipped.into_iter().partition(|event| event["metadata"]["sequence"].is_u64());
    let log = world.records();
    let mut next = 0;
    for record in records {
        let sequence = usize::try_from(record["metadata"]["sequence"].as_u64().unwrap()).unwrap();
        assert!(sequence <= next, "record {sequence} came before record {next}");
        assert_eq!(record, log[sequence]);
        next = next.max(sequence + 1);
    }
    assert_eq!(next, log.len(), "everything is shipped, the last stop included");
    assert!(!checkpoints.is_empty() && checkpoints.iter().all(|event| event["unmapped"]["portcullis"]["event"] == "checkpoint"));
}

#[test]
fn sinks_change_with_the_configuration_and_are_shown() {
    let world = World::new();
    let (out, _) = {
        let gateway = world.serve();
        let answer = world.check(&["audit", "sinks"], 0);
        assert!(gateway.stop().success());
        answer
    };
    assert!(out.contains("no sinks are configured"), "{out}");

    add_file_sink(&world, "first", "");
    let gateway = world.serve();
    world.get("/p/one");
    wait("the first sink ships", || sequences(&world, "first").len() > 2);
    fs::create_dir(file(&world, "second")).unwrap();
    add_file_sink(&world, "second", "format = \"ecs\"");
    gateway.signal(Signal::HUP);
    let report = |name: &str| -> Option<Value> {
        let (out, _) = world.check(&["audit", "sinks", "--output", "json"], 0);
        let answer: Value = serde_json::from_str(&out).unwrap();
        answer["sinks"].as_array().unwrap().iter().find(|sink| sink["name"] == name).cloned()
    };
    wait("the second sink fails", || report("second").is_some_and(|sink| sink["state"] == "failing"));
    let (out, _) = world.check(&["audit", "sinks"], 0);
    assert!(out.contains("second") && out.contains("failing") && out.contains("Is a directory"), "{out}");
    assert_eq!(report("first").unwrap()["state"], "shipping");
    let (_, metrics) = world.operations("/metrics").unwrap();
    assert!(metrics.contains("portcullis_audit_sink_up{sink=\"second\"} 0"), "{metrics}");
    assert!(metrics.contains("portcullis_audit_sink_up{sink=\"first\"} 1"), "{metrics}");
    assert!(metrics.contains("portcullis_audit_sink_errors_total{sink=\"second\"}"), "{metrics}");

    fs::remove_dir(file(&world, "second")).unwrap();
    wait("the second sink ships", || !events(&world, "second").is_empty());
    assert_eq!(events(&world, "second")[0]["ecs"]["version"], "8.17.0");
    assert!(gateway.stop().success());
}

#[test]
fn a_backlog_that_blocks_refuses_grants_and_readiness_says_so() {
    let world = World::new();
    fs::create_dir(file(&world, "out")).unwrap();
    add_file_sink(&world, "out", "backlog_max = 1000\noverflow = \"block\"");
    let gateway = world.serve();
    let mut client = world.connect().unwrap();
    let mut refused = false;
    for number in 0..4_000 {
        let (status, body) = client.get(&format!("/p/{number}")).unwrap();
        if status == 503 {
            assert!(body.contains("audit_unavailable"), "{body}");
            refused = true;
            break;
        }
    }
    if !refused {
        wait("grants are refused", || client.get("/p/more").unwrap().0 == 503);
    }
    let (status, ready) = world.operations("/readyz").unwrap();
    assert!(status == 503 && ready.contains("a sink is too far behind"), "{ready}");
    fs::remove_dir(file(&world, "out")).unwrap();
    wait("grants are given again", || client.get("/p/after").unwrap().0 != 503);
    assert_eq!(world.operations("/readyz").unwrap().0, 200);
    assert!(gateway.stop().success());
}

#[test]
fn check_names_every_mistake_in_a_sink() {
    let cases = [
        ("kind = \"syslog\"", "`address` is missing"),
        ("kind = \"sylog\"\naddress = \"a:1\"", "did you mean `syslog`?"),
        ("kind = \"syslog\"\naddress = \"tcp://a:1\"", "is not a host and a port"),
        ("kind = \"http\"\naddress = \"http://siem.example.com/\"", "did you mean `https://siem.example.com/`?"),
        ("kind = \"http\"\naddress = \"https://u:p@siem.example.com/\"", "a credential is a `token`"),
        ("kind = \"http\"\naddress = \"https://siem.example.com/\"\nformat = \"cef\"", "cef is a line of text"),
        ("kind = \"http\"\naddress = \"https://siem.example.com/\"\napi = \"splunk-hec\"", "splunk-hec needs a token"),
        ("kind = \"http\"\naddress = \"https://siem.example.com/\"\nindex = \"x\"", "no meaning with json-lines"),
        ("kind = \"http\"\naddress = \"https://siem.example.com/\"\ntoken = \"secret\"", "a secret does not stand in the configuration"),
        ("kind = \"otlp\"\naddress = \"https://siem.example.com/\"\npath = \"x\"", "`path` has no meaning with this kind"),
        ("kind = \"file\"\npath = \"audit/out.jsonl\"", "inside the folder of the log itself"),
        ("kind = \"stdout\"\naddress = \"a:1\"", "`address` has no meaning with this kind"),
        ("kind = \"stdout\"\noverflow = \"drop\"", "nothing ever overflows"),
        ("kind = \"stdout\"\nbacklog_max = 5", "from 1000"),
        ("kind = \"stdout\"\nfilter = { classes = [] }", "never means all"),
        ("kind = \"stdout\"\nfilter = { decisions = [\"denied\"] }", "use one of `allow`, `challenge`, `deny`, `fail`"),
        ("kind = \"syslog\"\naddress = \"a:1\"\ncert = \"certs/gate.pem\"", "`key` is missing"),
        ("kind = \"syslog\"\naddress = \"a:1\"\nca = \"none.pem\"", "does not exist"),
        ("kind = \"stdout\"\n[[audit.sink]]\nkind = \"stdout\"", "two sinks are named"),
    ];
    let world = World::new();
    let main = fs::read_to_string(world.config().join("portcullis.toml")).unwrap();
    for (sink, told) in cases {
        fs::write(world.config().join("portcullis.toml"), format!("{main}\n[[audit.sink]]\n{sink}\n")).unwrap();
        let (_, err) = world.check(&["check"], 78);
        assert!(err.contains(told), "{sink}\n{err}");
    }
    let good = "kind = \"http\"\naddress = \"https://siem.example.com:8088\"\napi = \"splunk-hec\"\ntoken = { env = \"PATH\" }";
    fs::write(world.config().join("portcullis.toml"), format!("{main}\n[[audit.sink]]\n{good}\n")).unwrap();
    world.check(&["check"], 0);
    let (shown, _) = world.check(&["config", "show"], 0);
    assert!(shown.contains("splunk-hec") && shown.contains("***"), "{shown}");
}
