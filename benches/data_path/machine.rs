//! The machine: CPU and memory of a process by the kernel's accounting, and medians.

use std::fs;
use std::time::Duration;

/// CPU time that a process, its threads and its children's threads have used. In nanoseconds from the scheduler, because
/// clock ticks are too coarse for seconds of work.
pub fn cpu(pid: u32) -> Duration {
    family(pid).into_iter().map(own_cpu).sum()
}

fn own_cpu(pid: u32) -> Duration {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Duration::ZERO };
    tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse().ok())
        .map(Duration::from_nanos)
        .sum()
}

/// Resident memory of a process and its children, in KiB.
pub fn resident_kib(pid: u32) -> f64 {
    let resident = |pid: u32| -> Option<f64> {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().trim_end_matches(" kB").trim().parse().ok()
    };
    family(pid).into_iter().filter_map(resident).sum()
}

fn family(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok()).flat_map(family);
    std::iter::once(pid).chain(children).collect()
}

/// Lets all threads of a process run on these cores, and no others.
pub fn allow_cores(pid: u32, cores: &str) {
    let status =
        std::process::Command::new("taskset").args(["-a", "-cp", cores, &pid.to_string()]).stdout(std::process::Stdio::null()).status();
    assert!(status.is_ok_and(|status| status.success()), "taskset sets the cores of {pid}");
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Names the machine, as far as a figure depends on it.
pub fn describe() {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    println!("{cores} cores, {}", model.trim_start_matches([' ', '\t', ':']));
}
