//! Writes that come together share a commit, and one that fails takes no other with it.

use super::*;

#[tokio::test]
async fn concurrent_writes_share_commits_and_all_land() {
    let bed = Bed::new().await;
    let before = *bed.store.level().borrow();
    let mut writes = Vec::new();
    for _ in 0..200 {
        let store = bed.store.clone();
        writes.push(tokio::spawn(async move {
            store.create_ticket(Bed::new_ticket(&["impl"]), NOW).await
        }));
    }
    let mut ids = std::collections::BTreeSet::new();
    for write in writes {
        ids.insert(write.await.unwrap().unwrap().id);
    }
    assert_eq!(ids.len(), 200);
    let commits = *bed.store.level().borrow() - before;
    assert!(commits < 200, "200 concurrent writes took {commits} commits");
}

#[tokio::test]
async fn a_writer_that_is_stuck_does_not_answer() {
    let bed = Bed::new().await;
    bed.store.ping().await.unwrap();
    let (release, held) = tokio::sync::oneshot::channel::<()>();
    let writer = bed.store.writer.clone();
    let stuck = tokio::spawn(async move {
        writer
            .write(|_| {
                Box::pin(async move {
                    held.await.unwrap_or_default();
                    Ok(())
                })
            })
            .await
    });
    let ping = bed.store.ping();
    tokio::pin!(ping);
    // As many turns as a free writer needs, many times over.
    for _ in 0..10_000 {
        tokio::select! {
            biased;
            answer = &mut ping => panic!("a stuck writer answered: {answer:?}"),
            () = tokio::task::yield_now() => {}
        }
    }
    release.send(()).unwrap();
    ping.await.unwrap();
    stuck.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_write_that_fails_half_way_is_undone_alone() {
    let bed = Bed::new().await;
    let good = bed.store.create_ticket(Bed::new_ticket(&["impl"]), NOW);
    let bad = bed.store.writer.write::<(), _>(|connection| {
        Box::pin(async move {
            sqlx::query("UPDATE ticket SET title = 'spoiled'").execute(&mut *connection).await?;
            sqlx::query("INSERT INTO comment (ticket_id) VALUES (1)").execute(connection).await?;
            Ok(())
        })
    });
    let also_good = bed.store.create_ticket(Bed::new_ticket(&["impl"]), NOW);
    let (one, failed, two) = tokio::join!(good, bad, also_good);
    assert!(matches!(failed, Err(Error::Failed(_))));
    for ticket in [one.unwrap(), two.unwrap()] {
        assert_eq!(bed.read(ticket.id).await.title, "Fix it");
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_stops_nobody() {
    let bed = Bed::new().await;
    drop(bed.store.create_ticket(Bed::new_ticket(&["impl"]), NOW));
    let store = bed.store.clone();
    let gone =
        tokio::spawn(async move { store.create_ticket(Bed::new_ticket(&["impl"]), NOW).await });
    gone.abort();
    drop(gone.await);
    bed.ticket(&["impl"]).await;
    bed.store.ping().await.unwrap();
}
