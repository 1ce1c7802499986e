//! `portcullis connections`: the exchanges that are under way at the running gateway.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use comfy_table::{Table, presets};

use super::{Output, orders};
use crate::server::control::{ConnectionLine, Order};

#[derive(Debug, Args)]
pub struct ConnectionsArgs {
    /// Of one route alone.
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// Of one person alone.
    #[arg(long, value_name = "EMAIL")]
    user: Option<String>,
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

pub fn run(config: &Path, args: &ConnectionsArgs) -> ExitCode {
    orders::give(config, &Order::ConnectionList { route: args.route.clone(), user: args.user.clone() }, args.output)
}

/// A line each, the oldest first.
pub(super) fn print(connections: &[ConnectionLine]) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["REQUEST", "ROUTE", "USER", "METHOD", "PATH", "KIND", "SECONDS", "BYTES IN", "BYTES OUT", "CLIENT"]);
    for line in connections {
        let numbers = [line.age_s, line.bytes_in, line.bytes_out].map(|number| number.to_string());
        let [age, bytes_in, bytes_out] = numbers.each_ref().map(String::as_str);
        let (user, client) = (line.user.as_deref().unwrap_or("-"), line.client.as_deref().unwrap_or("-"));
        table.add_row([&*line.request_id, &line.route, user, &line.method, &line.path, &line.kind, age, bytes_in, bytes_out, client]);
    }
    anstream::println!("{table}");
}
