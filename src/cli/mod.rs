//! Commands: one file per noun.

pub mod audit;
pub mod check;
pub mod config;
pub mod exit;
pub mod explain;
pub mod init;
pub mod routes;

/// How an answer is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    #[default]
    Table,
    Json,
}

#[cfg(test)]
mod tests;
