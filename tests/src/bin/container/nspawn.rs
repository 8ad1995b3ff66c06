//! Debian's systemd, booted in a container from a copy-on-write view of a directory.
//!
//! Mounts are in a mount namespace of this program and vanish with it. The container has its own
//! network; this program's only thread joins it, so that its HTTP client is a neighbour of the
//! server. Only processes of the container are ended.

use std::fs;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::ChildStdin;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use e2e::eventually::eventually;
use e2e::eventually::eventually_within;
use nix::mount::MntFlags;
use nix::mount::MsFlags;
use nix::mount::mount;
use nix::mount::umount2;
use nix::sched::CloneFlags;
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use tempfile::TempDir;

const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Cleans up if this program is killed: everything in the machine's control groups ends, then its
/// files are removed. A program that ends in good order leaves nothing for it.
const GUARD: &str = r#"
    read -r _
    directory=$1
    shift
    for group; do test -e "$group/cgroup.kill" && echo 1 >"$group/cgroup.kill"; done
    for group; do while grep -qs . "$group/cgroup.procs" "$group"/*/cgroup.procs; do sleep 0.1; done; done
    umount "$directory/root"
    rm -rf --one-file-system "$directory"
    for group; do find "$group" -depth -type d -exec rmdir {} \;; done
"#;

/// Dropping it ends everything in it.
#[derive(Debug)]
pub(crate) struct Container {
    directory: TempDir,
    name: String,
    nspawn: Mutex<Option<Child>>,
    /// Held open for life; see [`GUARD`].
    _guard: Option<ChildStdin>,
    /// The control groups that were made for it, to be removed again.
    groups: Vec<PathBuf>,
    /// The directories of this machine that it sees, read-only, and their paths in it.
    binds: Vec<(PathBuf, String)>,
}

/// Gives this process mounts of its own. Call it before any thread is started.
pub(crate) fn keep_mounts_private() -> nix::Result<()> {
    let none: Option<&str> = None;
    nix::sched::unshare(CloneFlags::CLONE_NEWNS)?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
}

impl Container {
    /// A machine that is not booted yet, with the files of `base`, which stays unchanged, and those
    /// of `binds`.
    pub(crate) fn make(base: &Path, binds: &[(PathBuf, String)]) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("ve-container-")
            .tempdir_in("/var/tmp")
            .expect("/var/tmp is writable");
        let name = format!("ve-{}", std::process::id());
        let (groups, binds) = (groups(&name), binds.to_vec());
        let guard = Command::new("sh")
            .args(["-c", GUARD, "sh"])
            .arg(directory.path())
            .args(&groups)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let guard = guard.expect("there is a shell").stdin;
        let machine =
            Self { directory, name, nspawn: Mutex::new(None), _guard: guard, groups, binds };
        for part in ["upper", "work", "root"] {
            fs::create_dir(machine.directory.path().join(part)).expect("writable");
        }
        machine.overlay(base);
        machine
    }

    fn overlay(&self, base: &Path) {
        let part = |name: &str| self.directory.path().join(name).display().to_string();
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            base.display(),
            part("upper"),
            part("work")
        );
        let mounted = mount(
            Some("overlay"),
            &self.root(),
            Some("overlay"),
            MsFlags::empty(),
            Some(options.as_str()),
        );
        if let Err(errno) = mounted {
            // A file system that is itself an overlay cannot hold the upper layer of another.
            crate::say(&format!("no overlay here ({errno}): the base is copied"));
            let copied = Command::new("cp").arg("-a").arg(base.join(".")).arg(self.root()).status();
            assert!(copied.expect("cp runs").success(), "the base could not be copied");
        }
    }

    /// Boots it and waits until it is up.
    pub(crate) async fn boot(&self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.directory.path().join("console"))
            .expect("writable");
        let join: Vec<String> = self.groups.iter().map(|g| g.display().to_string()).collect();
        let mut command = Command::new("sh");
        // The groups first: two containers in one group would use the same names in it.
        command
            .args([
                "-c",
                "for g in $1; do echo 0 >$g/cgroup.procs || exit 1; done; shift; exec \"$@\"",
                "sh",
            ])
            .arg(join.join(" "))
            .args(["systemd-nspawn", "--quiet", "--boot"])
            .args(["--register=no", "--keep-unit", "--private-network"])
            .arg(format!("--machine={}", self.name))
            .arg(format!("--directory={}", self.root().display()))
            .args(self.binds.iter().map(|(here, there)| {
                // systemd-nspawn treats colons as separators.
                let here = here.display().to_string().replace(':', "\\:");
                format!("--bind-ro={here}:{there}")
            }))
            .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a descriptor"))
            .stderr(log);
        *self.child() = Some(command.spawn().expect("systemd-nspawn is installed"));
        self.up().await;
    }

    /// Makes it reboot and waits until it is up again.
    pub(crate) async fn reboot(&self) {
        // The connection to its systemd may be cut while it answers.
        drop(self.output(&["systemctl", "reboot"]));
        let status = eventually_within(Duration::from_mins(3), "the machine shuts down", || {
            let ended = self.child().as_mut().and_then(|nspawn| nspawn.try_wait().ok().flatten());
            std::future::ready(ended.ok_or_else(|| self.console()))
        })
        .await;
        // The exit code by which nspawn reports that the machine wants to be booted again.
        assert_eq!(status.code(), Some(133), "{}", self.console());
        self.boot().await;
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.nspawn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn up(&self) {
        eventually("the machine is up", || async {
            if self.init().is_none() {
                return Err(self.console());
            }
            let state = self.output(&["systemctl", "is-system-running"]);
            let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
            match state.as_str() {
                "running" => Ok(()),
                "degraded" => {
                    let failed = self.output(&["systemctl", "--failed"]);
                    panic!("units failed at the boot:\n{}", String::from_utf8_lossy(&failed.stdout))
                }
                _ => Err(state),
            }
        })
        .await;
        let init = self.init().expect("it was up just now");
        let network = File::open(format!("/proc/{init}/ns/net")).expect("the machine is up");
        nix::sched::setns(network, CloneFlags::CLONE_NEWNET).expect("as root");
    }

    /// The machine's first process, by its number outside.
    fn init(&self) -> Option<i32> {
        let nspawn = self.child().as_ref()?.id();
        let children = fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children")).ok()?;
        let mut children = children.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok());
        children.find(|pid| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let inside = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
            inside.is_some_and(|numbers| numbers.split_whitespace().nth(1) == Some("1"))
        })
    }

    /// Runs a command in it as root.
    pub(crate) fn output(&self, command: &[&str]) -> Output {
        let init = self.init().unwrap_or_else(|| panic!("the machine is down\n{}", self.console()));
        Command::new("nsenter")
            .args(["-t", &init.to_string(), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"])
            .args(["env", "-i", &format!("PATH={SEARCH_PATH}"), "HOME=/root", "LC_ALL=C.UTF-8"])
            .arg("DEBIAN_FRONTEND=noninteractive")
            .args(command)
            .stdin(Stdio::null())
            .output()
            .expect("nsenter is installed")
    }

    /// A path of the machine, as seen from outside.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.root().join(inside.trim_start_matches('/'))
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    fn console(&self) -> String {
        let bytes = fs::read(self.directory.path().join("console")).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

/// Makes a control group below this process's own in each hierarchy that systemd uses.
fn groups(name: &str) -> Vec<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").expect("/proc is there");
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("/proc is there");
    let group = |line: &str| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let wanted = match controllers {
            "" => " - cgroup2 ",
            "name=systemd" => "name=systemd",
            _ => return None,
        };
        let place = mounts.lines().find(|line| line.contains(wanted))?.split(' ').nth(4)?;
        let group = Path::new(place).join(path.trim_start_matches('/')).join(name);
        fs::create_dir(&group).expect("control groups can be made, as root");
        Some(group)
    };
    own.lines().filter_map(group).collect()
}

impl Drop for Container {
    fn drop(&mut self) {
        if std::thread::panicking() && self.init().is_some() {
            let journal = ["journalctl", "-b", "--no-pager", "-n", "150", "-o", "short-monotonic"];
            let journal = self.output(&journal);
            eprintln!(
                "--- the machine's journal, its last lines ---\n{}\n---",
                String::from_utf8_lossy(&journal.stdout)
            );
        }
        // The whole machine ends with its first process.
        if let Some(init) = self.init()
            && let Err(errno) = kill(Pid::from_raw(init), Signal::SIGKILL)
        {
            eprintln!("could not end the machine: {errno}");
        }
        if let Some(mut nspawn) = self.child().take() {
            let begun = Instant::now();
            while matches!(nspawn.try_wait(), Ok(None)) && begun.elapsed() < Duration::from_secs(10)
            {
                std::thread::sleep(Duration::from_millis(20));
            }
            if let Err(error) = nspawn.kill().and_then(|()| nspawn.wait()) {
                eprintln!("could not end systemd-nspawn: {error}");
            }
        }
        if let Err(errno) = umount2(&self.root(), MntFlags::MNT_DETACH)
            && errno != nix::errno::Errno::EINVAL
        {
            eprintln!("could not unmount the machine's files: {errno}");
        }
        for group in &self.groups {
            remove_groups(group);
        }
    }
}

/// Removes a control group with those below it; they are empty by now.
fn remove_groups(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_groups(&entry.path());
        }
    }
    if let Err(error) = fs::remove_dir(group) {
        eprintln!("could not remove {}: {error}", group.display());
    }
}
