//! Debian's systemd with Debian's kernel, as a guest of qemu: what a container shares with the
//! machine on which it runs, such as the controllers of control groups, a guest has for itself.
//!
//! Its files are one archive in memory, so it needs no disk and leaves nothing. It is emulated
//! (tcg), because a kernel that lends its processor's virtualisation is not available everywhere.
//! Commands reach it over a network that exists only in this program and its children: each
//! connection to the command port is a shell.

use std::fs;
use std::fs::File;
use std::io::Read as _;
use std::io::Write as _;
use std::net::Shutdown;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Output;
use std::process::Stdio;
use std::time::Duration;

use e2e::eventually::eventually_slowly;
use nix::sched::CloneFlags;
use tempfile::TempDir;

use crate::operator::ADA;
use crate::operator::SYSTEM;

/// Where its shell listens, in this program's network.
const ORDERS: &str = "127.0.0.1:1";

/// The modules that the kernel needs for its network, each after its own dependencies.
const MODULES: [&str; 8] = [
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "failover",
    "net_failover",
    "virtio_net",
];

/// The kernel's own root cannot be replaced, which units with mounts of their own require:
/// everything moves to another.
const INIT: &str = r"#!/bin/sh
set -e
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
for module in MODULES; do insmod /boot-modules/$module.ko; done
ip link set eth0 up
ip address add 10.0.2.15/24 dev eth0
umount /proc
mount -t tmpfs -o mode=755,size=80% root /new
for entry in *; do case $entry in new|boot-modules|init) ;; *) cp -a $entry /new/ ;; esac; done
exec switch_root /new /lib/systemd/systemd
";

/// Files that agents do not need would take memory and time.
const LEFT_OUT: [&str; 17] = [
    "./proc/*",
    "./sys/*",
    "./dev/*",
    "./usr/share/doc",
    "./usr/share/man",
    "./usr/share/locale",
    "./usr/share/zoneinfo",
    "./usr/share/perl",
    "./usr/lib/gcc",
    "./usr/lib/x86_64-linux-gnu/gconv",
    "./usr/lib/x86_64-linux-gnu/*san.so*",
    "./usr/bin/x86_64-linux-gnu-*",
    "./usr/lib/x86_64-linux-gnu/perl",
    "./usr/include",
    "./var/cache",
    "./var/lib/apt",
    "*.a",
];

/// Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Guest {
    directory: TempDir,
    qemu: Option<Child>,
}

/// Gives this process a network of its own. Call it before any thread is started.
pub(crate) fn keep_network_private() -> nix::Result<()> {
    nix::sched::unshare(CloneFlags::CLONE_NEWNET)?;
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
    assert!(up.is_ok_and(|status| status.success()), "loopback cannot be set up");
    Ok(())
}

impl Guest {
    /// A machine that is not booted yet.
    pub(crate) fn make() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("ve-guest-")
            .tempdir_in("/var/tmp")
            .expect("/var/tmp is writable");
        Self { directory, qemu: None }
    }

    /// Where to put a file on the outside so that the machine has it. Call it before the boot.
    pub(crate) fn staged(&self, inside: &str) -> PathBuf {
        let path = self.directory.path().join("stage").join(inside.trim_start_matches('/'));
        fs::create_dir_all(path.parent().expect("an absolute path")).expect("writable");
        path
    }

    fn stage(&self, inside: &str, text: &str) {
        fs::write(self.staged(inside), text).expect("writable");
    }

    /// Boots it with the files of `base`, the staged files, and the kernel whose package was
    /// unpacked at `kernel`.
    pub(crate) async fn boot(&mut self, base: &Path, kernel: &Path) {
        self.stage_system(kernel);
        let image = self.directory.path().join("image");
        let archive = File::create(&image).expect("writable");
        // To the kernel, several archives in a row are one.
        pack(base, &archive);
        pack(&self.directory.path().join("stage"), &archive);
        let boot = kernel.join("boot");
        let is_kernel = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"))
        };
        let vmlinuz = entries(&boot).find(is_kernel).expect("the package has a kernel");
        let port = |place: &str| place.rsplit(':').next().expect("a port").to_owned();
        let mut forwards = String::new();
        for address in [ORDERS, SYSTEM.address, ADA.address] {
            forwards.extend([",hostfwd=tcp:", address, "-10.0.2.15:", &port(address)]);
        }
        // It ends with this program, however this program ends.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "qemu-system-x86_64"])
            .args([
                "-accel",
                "tcg,thread=multi,tb-size=512",
                "-cpu",
                "max",
                "-smp",
                "2",
                "-m",
                "2560",
            ])
            .args(["-nodefaults", "-no-reboot", "-display", "none"])
            .arg("-kernel")
            .arg(vmlinuz)
            .arg("-initrd")
            .arg(&image)
            // What a processor leaks to strangers does not matter here, and protection is expensive
            // on an emulated one.
            .args([
                "-append",
                "console=ttyS0 quiet panic=-1 mitigations=off systemd.show_status=no",
            ])
            .arg("-serial")
            .arg(format!("file:{}", self.directory.path().join("console").display()))
            .args(["-netdev", &format!("user,id=wire,restrict=on{forwards}")])
            .args(["-device", "virtio-net-pci,netdev=wire,romfile="])
            .stdin(Stdio::null());
        self.qemu = Some(command.spawn().expect("setpriv is installed"));
        eventually_slowly("the guest is up", || {
            let state = ask("systemctl is-system-running\n");
            let state = state.map(|said| String::from_utf8_lossy(&said).trim().to_owned());
            std::future::ready(match state.as_deref() {
                Ok("running") => Ok(()),
                Ok("degraded") => panic!("units failed at the boot:\n{}", self.console()),
                Ok("") | Err(_) => Err(self.console()),
                Ok(state) => Err(state.to_owned()),
            })
        })
        .await;
    }

    fn stage_system(&self, kernel: &Path) {
        for directory in ["proc", "sys", "dev", "new"] {
            fs::create_dir_all(self.staged(directory)).expect("writable");
        }
        self.stage("/init", &INIT.replace("MODULES", &MODULES.join(" ")));
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.staged("/init"), executable).expect("writable");
        for module in MODULES {
            let file = format!("{module}.ko");
            let found = find(&kernel.join("lib/modules"), &file);
            let found = found.unwrap_or_else(|| panic!("the kernel has no {file}"));
            fs::copy(found, self.staged(&format!("/boot-modules/{file}"))).expect("writable");
        }
        let units = "/etc/systemd/system";
        // Nobody logs in, and without udev no terminal would ever appear.
        for unit in ["serial-getty@ttyS0.service", "getty@tty1.service"] {
            symlink("/dev/null", self.staged(&format!("{units}/{unit}"))).expect("writable");
        }
        let socket = |port: &str, accept: &str| {
            format!("[Socket]\nListenStream=10.0.2.15:{port}\nFreeBind=yes\nAccept={accept}\n")
        };
        self.stage(&format!("{units}/orders.socket"), &socket("1", "yes"));
        self.stage(
            &format!("{units}/orders@.service"),
            "[Unit]\nCollectMode=inactive-or-failed\n[Service]\nExecStart=/bin/bash -s\nStandardInput=socket\n\
             Environment=HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive\nStandardError=journal\n",
        );
        let mut sockets = vec!["orders.socket".to_owned()];
        // The servers listen on loopback; connections from outside must come from there as well.
        for place in [SYSTEM, ADA] {
            let port = place.address.rsplit(':').next().expect("a port");
            self.stage(&format!("{units}/relay-{port}.socket"), &socket(port, "no"));
            self.stage(
                &format!("{units}/relay-{port}.service"),
                &format!(
                    "[Service]\nExecStart=/lib/systemd/systemd-socket-proxyd {}\n",
                    place.address
                ),
            );
            sockets.push(format!("relay-{port}.socket"));
        }
        for socket in sockets {
            let link = self.staged(&format!("{units}/sockets.target.wants/{socket}"));
            symlink(format!("../{socket}"), link).expect("writable");
        }
    }

    /// Runs a command in it as root.
    pub(crate) fn output(&self, command: &[&str]) -> Output {
        let words: Vec<String> = command.iter().map(|word| quoted(word)).collect();
        let script = format!(
            "t=$(mktemp); {} </dev/null 2>$t; s=$?; printf '\\0'; cat $t; rm $t; printf '\\0%d' $s\n",
            words.join(" ")
        );
        let said = ask(&script);
        let said = said.unwrap_or_else(|error| panic!("{command:?}: {error}\n{}", self.console()));
        let mut parts = said.rsplitn(3, |byte| *byte == 0).map(<[u8]>::to_vec);
        let (status, stderr, stdout) = (parts.next(), parts.next(), parts.next());
        let code = status.and_then(|text| String::from_utf8(text).ok()?.parse::<i32>().ok());
        let (Some(code), Some(stderr), Some(stdout)) = (code, stderr, stdout) else {
            panic!("{command:?} was not answered whole: {}", String::from_utf8_lossy(&said));
        };
        // As in wait(2).
        Output { status: ExitStatus::from_raw(code << 8), stdout, stderr }
    }

    fn console(&self) -> String {
        let bytes = fs::read(self.directory.path().join("console")).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if std::thread::panicking() && self.qemu.is_some() {
            let journal = ask("journalctl -b --no-pager -n 150 -o short-monotonic\n");
            let journal = journal.unwrap_or_else(|error| error.to_string().into_bytes());
            eprintln!("--- the guest's journal ---\n{}\n---", String::from_utf8_lossy(&journal));
        }
        if let Some(mut qemu) = self.qemu.take()
            && let Err(error) = qemu.kill().and_then(|()| qemu.wait())
        {
            eprintln!("could not end the guest: {error}");
        }
    }
}

/// Runs a script in the guest's shell; returns its output.
fn ask(script: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(ORDERS)?;
    // Longer than any command takes; a guest that hangs is a failure.
    stream.set_read_timeout(Some(Duration::from_mins(3)))?;
    stream.write_all(script.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut said = Vec::new();
    stream.read_to_end(&mut said)?;
    Ok(said)
}

/// Appends everything below a directory to an archive in the kernel's format.
fn pack(directory: &Path, archive: &File) {
    let left_out: Vec<String> = LEFT_OUT.iter().map(|path| format!("-path '{path}'")).collect();
    let script = format!(
        "set -o pipefail; find . \\( {} \\) -prune -o -print0 | cpio -0 -o -H newc --quiet",
        left_out.join(" -o ")
    );
    let packed = Command::new("bash")
        .args(["-c", &script])
        .current_dir(directory)
        .stdout(archive.try_clone().expect("a descriptor"))
        .status();
    assert!(packed.is_ok_and(|status| status.success()), "{} is not packed", directory.display());
}

/// Quotes a word for a shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// Finds a file by its name, somewhere below a directory.
fn find(directory: &Path, name: &str) -> Option<PathBuf> {
    entries(directory).find_map(|path| {
        if path.is_dir() {
            return find(&path, name);
        }
        path.file_name().is_some_and(|found| found == name).then_some(path)
    })
}
