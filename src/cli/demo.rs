//! `portcullis demo`: see it work.

use std::process::ExitCode;

use clap::Args;

use super::refuse;
use super::serve::{NO_SIGNALS, Signals, load, on_runtime, until_stopped};
use crate::clock::Clock;
use crate::demo::{Ports, World};
use crate::server;
use crate::telemetry::logs::{self, Form};

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Port of the gateway.
    #[arg(long, default_value_t = 8443)]
    port: u16,
}

pub fn run(args: &DemoArgs) -> ExitCode {
    logs::install(Form::Text);
    let ports = Ports { gateway: args.port, ..Ports::default() };
    on_runtime(async move {
        let Ok(signals) = Signals::receive() else { return refuse(NO_SIGNALS) };
        let world = match World::start(ports, Clock::system()).await {
            Ok(world) => world,
            Err(error) => return refuse(&error.to_string()),
        };
        let loaded = match load(world.config_dir()) {
            Ok(loaded) => loaded,
            Err(exit) => return exit,
        };
        let exit = match server::start(loaded, world.config_dir().to_owned(), Clock::system()).await {
            Ok(server) => {
                anstream::println!("{}", world.banner());
                until_stopped(&server, signals, None).await
            }
            Err(fault) => refuse(&fault.to_string()),
        };
        world.stop().await;
        exit
    })
}
