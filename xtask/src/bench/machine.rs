//! What a figure was measured on, without saying whose machine it is.

use std::fs;

use crate::workspace;

/// One line: processor, cores, memory, compiler.
pub(crate) fn facts() -> String {
    let cpu = field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.into());
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory = field("/proc/meminfo", "MemTotal")
        .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok())
        .map_or_else(String::new, |kib| format!(", {} GiB of memory", (kib + (1 << 19)) >> 20));
    let rustc = workspace::output(std::process::Command::new("rustc").arg("--version")).unwrap_or_default();
    let rustc = rustc.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    // The name alone does not tell generations apart, and this decides what sealing and hashing cost.
    let flags = field("/proc/cpuinfo", "flags").unwrap_or_default();
    let wide = if flags.split(' ').any(|flag| flag == "avx512f") { " with AVX-512" } else { "" };
    format!("{cpu}{wide}, {cores} cores{memory}, {rustc}, {}", std::env::consts::OS)
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
