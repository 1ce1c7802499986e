//! `portcullis audit sinks`: how the sinks of the running gateway are doing.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use comfy_table::{Table, presets};

use super::{Output, orders};
use crate::audit::sinks::{SinkReport, SinkState};
use crate::server::control::Order;

#[derive(Debug, Args)]
pub struct SinksArgs {
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

pub fn run(config: &Path, args: &SinksArgs) -> ExitCode {
    orders::give(config, &Order::SinkList {}, args.output)
}

/// The sinks, a line each, and below what is wrong with them.
pub(super) fn print(sinks: &[SinkReport]) {
    if sinks.is_empty() {
        anstream::println!("no sinks are configured: records stay in audit.dir");
        return;
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["SINK", "KIND", "STATE", "NEXT RECORD", "BEHIND", "SECONDS", "SENT", "DROPPED", "ERRORS"]);
    for sink in sinks {
        let state = match sink.state {
            SinkState::Shipping => "shipping",
            SinkState::Failing => "failing",
            SinkState::Blocking => "blocking",
        };
        let numbers =
            [sink.next, sink.lag_records, sink.lag_seconds, sink.events, sink.dropped, sink.errors].map(|number| number.to_string());
        table.add_row([&sink.name, &sink.kind, state].into_iter().map(str::to_owned).chain(numbers));
    }
    anstream::println!("{table}");
    for sink in sinks {
        if let (Some(error), Some(at)) = (&sink.last_error, &sink.last_error_at) {
            anstream::println!("{}: last error at {at}: {error}", sink.name);
        }
    }
}
