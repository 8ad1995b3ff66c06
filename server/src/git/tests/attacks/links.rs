//! Links, and other repositories, in places that the server made.

use super::*;
use crate::git::gather::copy_index;

#[tokio::test]
async fn a_link_in_the_place_of_a_worktree_or_on_the_way_to_it_leads_nowhere() {
    type Attack = fn(&Bed, &Worktree, &Path);
    let attacks: [(&str, Attack); 3] = [
        ("the worktree", |_, work, to| {
            fs::remove_dir_all(&work.path).unwrap();
            symlink(to, &work.path).unwrap();
        }),
        ("the directory above", |bed, work, to| {
            let above = Path::new(&work.path).parent().unwrap();
            fs::rename(above, bed.user().with_file_name("moved")).unwrap();
            // The canary, under the name of the worktree.
            let other = to.with_file_name("other");
            fs::create_dir(&other).unwrap();
            fs::rename(to, other.join("T-42")).unwrap();
            symlink(&other, above).unwrap();
            symlink(other.join("T-42"), to).unwrap();
        }),
        ("a file", |_, work, to| {
            fs::remove_dir_all(&work.path).unwrap();
            fs::write(&work.path, to.display().to_string()).unwrap();
        }),
    ];
    for (name, attack) in attacks {
        let bed = Bed::new();
        let canary = Canary::beside(&bed);
        let work = bed.work(42).await;
        attack(&bed, &work, &canary.path);
        let repository = bed.repository().await;
        let refused = repository.accept(&work, &author(1)).await.expect_err("nothing to accept");
        let is_told = matches!(refused, GitError::Led { .. } | GitError::Replaced { .. });
        assert!(is_told && refused.is_lasting(), "{name}: {refused}");
        canary.assert_untouched(name);
        let removal = repository.remove(&work, None).await.unwrap();
        let is_above = name == "the directory above";
        assert_eq!(matches!(removal, Removal::Kept(_)), is_above, "{name}: {removal:?}");
        canary.assert_untouched(name);

        // The next attempt's worktree is made anew once the way to it is clear.
        let made = repository.stand_up(&work, Place::Used).await;
        let put_back = repository.put_back(&work, Place::Used).await;
        canary.assert_untouched(name);
        if is_above {
            assert!(matches!(made, Err(GitError::Led { .. })), "{made:?}");
            assert!(matches!(put_back, Err(GitError::Led { .. })), "{put_back:?}");
        } else {
            made.and(put_back).unwrap();
            assert_eq!(read(&work, "a.txt"), "one\n", "{name}");
            assert!(!Path::new(&work.path).is_symlink());
        }
    }
}

#[tokio::test]
async fn what_an_agent_wrote_into_the_administration_leads_nowhere() {
    type Attack = fn(&Bed, &Worktree, &Path);
    let attacks: [(&str, Attack); 11] = [
        (".git is a link to another repository's", |_, work, to| {
            let link = Path::new(&work.path).join(".git");
            fs::remove_file(&link).unwrap();
            symlink(to.join(".git"), link).unwrap();
        }),
        (".git names another repository", |_, work, to| {
            put(work, ".git", &format!("gitdir: {}\n", to.join(".git").display()));
        }),
        (".git is a pipe", |_, work, _| {
            let link = Path::new(&work.path).join(".git");
            fs::remove_file(&link).unwrap();
            pipe(&link);
        }),
        ("the administration is a link to another repository", |bed, _, to| {
            fs::remove_dir_all(admin_of(bed)).unwrap();
            symlink(to.join(".git"), admin_of(bed)).unwrap();
        }),
        ("commondir names another repository", |bed, _, to| {
            let theirs = to.join(".git").display().to_string();
            write(&admin_of(bed), "commondir", &theirs);
        }),
        ("gitdir names another worktree", |bed, _, to| {
            write(&admin_of(bed), "gitdir", &to.join(".git").display().to_string());
        }),
        ("its index is a link", |bed, _, to| {
            let index = admin_of(bed).join("index");
            fs::remove_file(&index).unwrap();
            symlink(to.join("precious.txt"), index).unwrap();
        }),
        ("its logs are a link", |bed, _, to| {
            let logs = admin_of(bed).join("logs");
            fs::remove_dir_all(&logs).unwrap();
            symlink(to, logs).unwrap();
        }),
        ("its HEAD is a pipe", |bed, _, _| {
            fs::remove_file(admin_of(bed).join("HEAD")).unwrap();
            pipe(&admin_of(bed).join("HEAD"));
        }),
        ("its HEAD is gone", |bed, _, _| fs::remove_file(admin_of(bed).join("HEAD")).unwrap()),
        ("the lock is a link", |bed, _, to| {
            let lock = bed.user().join(".git/vibe-ensemble.lock");
            fs::remove_file(&lock).unwrap();
            symlink(to.join("new.lock"), lock).unwrap();
        }),
    ];
    for (name, attack) in attacks {
        let bed = Bed::new();
        let canary = Canary::beside(&bed);
        let mut work = bed.work(42).await;
        put(&work, "left.txt", "left\n");
        attack(&bed, &work, &canary.path);
        let repository = bed.repository().await;
        let head = repository.accept(&work, &author(1)).await.expect(name);
        assert_eq!(repository.accept(&work, &author(1)).await.expect(name), head, "{name}");
        canary.assert_untouched(name);
        assert_eq!(bed.git(&["show", &format!("{}:left.txt", head.commit)]), "left", "{name}");
        // The next agent's git works where it should.
        assert_eq!(at(&work, &["rev-parse", "--show-toplevel"]), work.path, "{name}");
        assert_eq!(at(&work, &["status", "--porcelain"]), "", "{name}");
        work.head = head;
        repository.put_back(&work, Place::Used).await.expect(name);
        repository.remove(&work, None).await.expect(name);
        canary.assert_untouched(name);
        assert!(Path::new(&work.path).symlink_metadata().is_err(), "{name}");
        bed.assert_sound();
    }
}

#[tokio::test]
async fn a_repository_made_in_the_place_of_the_git_file_is_kept() {
    let bed = Bed::new();
    let work = bed.work(42).await;
    fs::remove_file(Path::new(&work.path).join(".git")).unwrap();
    at(&work, &["init", "--quiet"]);
    put(&work, "left.txt", "left\n");
    at(&work, &["add", "."]);
    at(&work, &["commit", "--quiet", "-m", "In a repository of its own"]);
    let head = bed.repository().await.accept(&work, &author(1)).await.unwrap();
    assert_eq!(bed.git(&["show", &format!("{}:left.txt", head.commit)]), "left");
    let aside = Path::new(&work.path).with_extension("aside-1");
    assert_eq!(git_in(&aside, &["log", "--format=%s"]), "In a repository of its own");
}

/// The server's own index is in the administration, where an agent can put a link at any instant.
#[test]
fn neither_end_of_the_copy_of_an_index_is_followed_when_it_is_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("index"), "index").unwrap();
    fs::write(at("precious"), "precious").unwrap();
    symlink(at("precious"), at("copy")).unwrap();
    copy_index(&at("index"), &at("copy")).unwrap_err();
    assert_eq!(fs::read_to_string(at("precious")).unwrap(), "precious");
    symlink(at("precious"), at("own")).unwrap();
    copy_index(&at("own"), &at("fresh")).unwrap();
    assert!(!at("fresh").exists(), "what the link leads to is no index of this worktree");
}
