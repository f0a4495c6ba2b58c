//! A child process that does not outlive this one.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Where a child's output goes.
#[derive(Clone, Debug)]
pub enum Output {
    /// To `<name>.log` in this folder, appended.
    Files(PathBuf),
    /// To this process's stderr; its stdout is for what it has to say itself.
    Stderr,
}

/// A running, or ended, child.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    pid: Pid,
    log: Option<PathBuf>,
}

impl Process {
    /// Starts a program. The kernel kills it when the calling thread ends, however that comes:
    /// so this must be called on a thread that lives as long as the child shall, which the main
    /// thread of a current-thread runtime does.
    pub fn spawn<I, A>(name: &str, program: &Path, args: I, output: &Output) -> Result<Self>
    where
        I: IntoIterator<Item = A>,
        A: AsRef<OsStr>,
    {
        Self::spawn_with(&[], name, program, args, output)
    }

    /// The same, with further variables in its environment.
    pub fn spawn_with<I, A>(
        variables: &[(String, String)],
        name: &str,
        program: &Path,
        args: I,
        output: &Output,
    ) -> Result<Self>
    where
        I: IntoIterator<Item = A>,
        A: AsRef<OsStr>,
    {
        let (stdout, stderr, log): (Stdio, Stdio, _) = match output {
            Output::Files(dir) => {
                let path = dir.join(format!("{name}.log"));
                let file = File::options().create(true).append(true).open(&path)?;
                (file.try_clone()?.into(), file.into(), Some(path))
            }
            Output::Stderr => {
                let stderr = || io::stderr().as_fd().try_clone_to_owned();
                (stderr()?.into(), stderr()?.into(), None)
            }
        };
        // setpriv replaces itself by the program, so the process id is the program's.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(args)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            // Ctrl-C is for the launcher, which stops its children in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("setpriv (Debian: util-linux)")?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let pid = pid.with_context(|| format!("{name} ended at once"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            pid,
            log,
        })
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Its output, when it goes to a file.
    pub fn log(&self) -> Option<&Path> {
        self.log.as_deref()
    }

    /// How it ended, when it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end. May be dropped and called again.
    pub async fn wait(&mut self) -> Result<ExitStatus> {
        Ok(self.child.wait().await?)
    }

    /// Sends a signal, unless it has ended.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.ended().is_none() {
            kill_process(self.pid, signal).with_context(|| self.name.clone())?;
        }
        Ok(())
    }

    /// Makes it hang, until it gets a CONT.
    pub fn pause(&mut self) -> Result<()> {
        self.signal(Signal::STOP)?;
        // Its threads run on for a moment: one of them could still send a response's head.
        let stopped = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(self.pid), stopped).with_context(|| self.name.clone())?;
        Ok(())
    }

    /// Asks it to end, and makes it when it does not within `grace`.
    pub async fn stop(&mut self, grace: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        if let Ok(status) = timeout(grace, self.wait()).await {
            return status;
        }
        self.kill().await
    }

    /// Ends it without asking.
    pub async fn kill(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::KILL)?;
        self.wait().await
    }
}

/// The memory of a process that is really there, in bytes.
pub fn rss(pid: i32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib << 10)
}
