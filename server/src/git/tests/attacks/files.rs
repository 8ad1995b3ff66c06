//! Files that git would wait for, fail on, or copy until the disk is full.

use super::*;
use crate::git::large::MOST_FILES;

#[tokio::test]
async fn pipes_that_git_would_open_are_named_or_removed_and_block_nobody() {
    for name in [".gitignore", ".gitattributes", ".gitmodules", "deep/er/.gitignore"] {
        let bed = Bed::new();
        let work = bed.work(42).await;
        let place = Path::new(&work.path).join(name);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        if place.exists() {
            fs::remove_file(&place).unwrap();
        }
        pipe(&place);
        put(&work, "left.txt", "left\n");
        let repository = bed.repository().await;
        let refused = repository.accept(&work, &author(1)).await.expect_err("has a pipe");
        assert!(refused.to_string().contains(name), "{refused}");
        let kept = repository.put_aside(&work, &author(1)).await.unwrap().unwrap();
        assert_eq!(bed.git(&["show", &format!("{kept}:left.txt")]), "left");
        repository.put_back(&work, Place::Used).await.unwrap();
        assert_eq!(at(&work, &["status", "--porcelain"]), "", "{name}");
        bed.assert_sound();
    }
}

#[tokio::test]
async fn a_pipe_in_the_place_of_a_tracked_file_is_named() {
    let bed = Bed::new();
    let work = bed.work(42).await;
    fs::remove_file(Path::new(&work.path).join("a.txt")).unwrap();
    pipe(&Path::new(&work.path).join("a.txt"));
    let repository = bed.repository().await;
    let refused = repository.accept(&work, &author(1)).await.expect_err("is no file");
    assert!(refused.to_string().contains("a.txt"), "{refused}");
    repository.put_aside(&work, &author(1)).await.unwrap();
    repository.put_back(&work, Place::Used).await.unwrap();
    assert_eq!(read(&work, "a.txt"), "one\n");
}

#[tokio::test]
async fn closed_directories_of_a_failed_attempt_do_not_block_the_next() {
    let bed = Bed::new();
    let work = bed.work(42).await;
    let modes = [("cache/module", 0o000), ("cache", 0o555), ("sub", 0o555)];
    let close = || {
        put(&work, "cache/module/file.txt", "cached\n");
        for (name, mode) in modes {
            let path = Path::new(&work.path).join(name);
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
    };
    close();
    let repository = bed.repository().await;
    let kept = repository.put_aside(&work, &author(1)).await.unwrap().unwrap();
    assert_eq!(bed.git(&["show", &format!("{kept}:cache/module/file.txt")]), "cached");
    repository.put_back(&work, Place::Used).await.unwrap();
    assert!(!Path::new(&work.path).join("cache").exists());
    let mode = fs::metadata(Path::new(&work.path).join("sub")).unwrap().permissions().mode();
    assert_eq!(mode & 0o700, 0o700, "the next attempt can write there");

    put(&work, ".gitignore", "cache\n*.cache\n");
    close();
    let mut work = work;
    work.head = repository.accept(&work, &author(1)).await.unwrap();
    repository.remove(&work, None).await.unwrap();
    assert!(!Path::new(&work.path).exists());
    bed.assert_sound();
}

#[tokio::test]
async fn a_file_too_large_to_commit_is_named_before_git_copies_it() {
    for prefix in ["", "deep/er/"] {
        let bed = Bed::new();
        let work = bed.work(42).await;
        put(&work, "left.txt", "left\n");
        let name = format!("{prefix}hole");
        put(&work, &name, "");
        let large = fs::File::options().write(true).open(Path::new(&work.path).join(&name));
        // It takes no room on its disk, and git would need an hour for its zeros.
        large.unwrap().set_len(1 << 40).unwrap();
        let repository = bed.repository().await;
        for refused in [
            repository.accept(&work, &author(1)).await.map(drop),
            repository.put_aside(&work, &author(1)).await.map(drop),
        ] {
            let refused = refused.expect_err("it cannot be held");
            assert!(matches!(refused, GitError::Large { .. }), "{refused}");
            assert!(refused.is_of_the_work() && !refused.is_passing(), "{refused}");
            assert!(
                refused.to_string().contains(&format!("{name} in it has 1024 GiB")),
                "{refused}"
            );
        }
        // Ignored files are not part of the work.
        put(&work, ".gitignore", "hole\n");
        let head = repository.accept(&work, &author(1)).await.unwrap();
        assert_eq!(bed.git(&["show", &format!("{}:left.txt", head.commit)]), "left");
        bed.assert_sound();
    }
}

#[tokio::test]
async fn a_tracked_file_that_has_grown_too_large_is_named_too() {
    let bed = Bed::new();
    let work = bed.work(42).await;
    let known = fs::File::options().write(true).open(Path::new(&work.path).join("a.txt"));
    known.unwrap().set_len(1 << 40).unwrap();
    let refused = bed.repository().await.accept(&work, &author(1)).await.expect_err("too large");
    assert!(refused.to_string().contains("a.txt"), "{refused}");
}

#[tokio::test]
async fn too_many_new_files_are_named_and_may_be_ignored() {
    let bed = Bed::new();
    let work = bed.work(42).await;
    for number in 0..=MOST_FILES {
        put(&work, &format!("many/{number}"), "");
    }
    let repository = bed.repository().await;
    let refused = repository.accept(&work, &author(1)).await.unwrap_err();
    assert!(matches!(refused, GitError::Many { .. }) && refused.is_lasting(), "{refused}");
    assert!(refused.is_of_the_work() && refused.to_string().contains("many/"), "{refused}");
    put(&work, ".gitignore", "many/\n");
    repository.accept(&work, &author(1)).await.unwrap();
}

#[tokio::test]
async fn file_names_of_every_kind_are_accepted_unchanged() {
    use std::os::unix::ffi::OsStrExt as _;

    let bed = Bed::new();
    let mut work = bed.work(42).await;
    let names: [&[u8]; 9] = [
        b"new\nline",
        b"\xff\xfe not text",
        b"-rf",
        b":(exclude)a.txt",
        b"\x1b[2Jescape",
        b"*",
        "\u{202e}right to left".as_bytes(),
        b" \t ",
        &[b'x'; 255],
    ];
    for name in names {
        let path = Path::new(&work.path).join(std::ffi::OsStr::from_bytes(name));
        fs::write(path, "odd\n").unwrap();
    }
    // As deep as a path may be.
    let mut deep = PathBuf::from(&work.path);
    while deep.as_os_str().len() < 3_900 {
        deep.push("d".repeat(100));
    }
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), "deep\n").unwrap();
    let repository = bed.repository().await;
    work.head = repository.accept(&work, &author(1)).await.unwrap();
    assert_eq!(work.head.stat.files_changed, 10, "each of them");
    repository.put_back(&work, Place::Used).await.unwrap();
    assert!(matches!(repository.remove(&work, None).await.unwrap(), Removal::Done { .. }));
    bed.assert_sound();
}
