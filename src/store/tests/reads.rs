//! Lists, cursors, scopes, settings.

use super::*;

fn list(rig: &Rig, filter: Filter) -> Vec<TaskId> {
    wait(rig.store.list(filter, None, 0)).unwrap().tasks.iter().map(|task| task.id).collect()
}

#[test]
fn a_filter_matches_any_of_each_list_and_all_of_the_lists() {
    let rig = Rig::new();
    let tagged = |tags: &[&str]| NewTask { tags: tags.iter().map(|tag| (*tag).to_owned()).collect(), ..task() };
    let a = rig.add(tagged(&["x", "y"]));
    let b = rig.add(NewTask { strategy: strategy("photo"), ..tagged(&["y\"z"]) });
    let c = rig.add(NewTask { app: "other".to_owned(), ..keyed("k") });
    let d = rig.add(NewTask { owner: Owner(2), ..keyed("l") });
    rig.claim(1, START);
    rig.settle(a, rejected(), START);
    rig.claim(1, START);
    rig.cancel(c, START);

    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let none = Filter::default;
    assert_eq!(list(&rig, none()), [a, b, c, d]);
    assert_eq!(list(&rig, Filter { owner: Some(Owner(1000)), ..none() }), [a, b, c]);
    assert_eq!(list(&rig, Filter { states: vec![State::Failed, State::Cancelled], ..none() }), [a, c]);
    assert_eq!(list(&rig, Filter { states: vec![State::Running], ..none() }), []);
    assert_eq!(list(&rig, Filter { strategies: vec![strategy("photo"), strategy("no")], ..none() }), [b]);
    assert_eq!(list(&rig, Filter { keys: texts(&["k", "l"]), ..none() }), [c, d]);
    assert_eq!(list(&rig, Filter { tags: texts(&["x", "y\"z"]), ..none() }), [a, b]);
    assert_eq!(list(&rig, Filter { tags: texts(&["z"]), ..none() }), []);
    assert_eq!(list(&rig, Filter { apps: texts(&["other"]), ..none() }), [c]);
    let both = Filter { keys: texts(&["k", "l"]), owner: Some(Owner(2)), ..none() };
    assert_eq!(list(&rig, both), [d]);
}

#[test]
fn pages_follow_one_another_and_their_cursors_outlive_restart_and_removal() {
    let rig = Rig::new();
    let tasks: Vec<NewTask> = (0..250).map(|_| task()).collect();
    let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
    wait(rig.store.enqueue(tasks)).unwrap();
    let page = |rig: &Rig, cursor, limit| wait(rig.store.list(Filter::default(), cursor, limit)).unwrap();
    let first = page(&rig, None, 0);
    assert_eq!(first.tasks.len(), 100);
    assert_eq!(page(&rig, None, u32::MAX).tasks.len(), 250);
    assert_eq!(page(&rig, None, 250).next, None);
    let up_to_the_last = page(&rig, None, 249).next;

    // All that is left goes; a new task does not take the place of one that is gone.
    wait(rig.store.cancel(Scope::All, ids[99..].to_vec(), START)).unwrap();
    wait(rig.store.discard(Scope::All, ids[99..].to_vec(), START)).unwrap();
    let rig = rig.reopen(START);
    let new = rig.add(task());
    for cursor in [first.next, up_to_the_last] {
        let rest = page(&rig, cursor, 1);
        assert_eq!(rest.tasks.iter().map(|task| task.id).collect::<Vec<_>>(), [new]);
        assert_eq!(rest.next, None);
    }
}

#[test]
fn a_cursor_that_somebody_made_up_is_refused() {
    let rig = Rig::new();
    for _ in 0..3 {
        rig.add(task());
    }
    let good = wait(rig.store.list(Filter::default(), None, 1)).unwrap().next.unwrap();
    for cursor in ["", "0", "1", "-1", &good[1..], &format!("{good}0"), &good.replace('-', "_")] {
        let refused = wait(rig.store.list(Filter::default(), Some(cursor.to_owned()), 1));
        assert!(matches!(refused, Err(ReadError::BadCursor)), "{cursor}");
    }
}

#[test]
fn a_long_list_is_looked_through_in_stretches() {
    let rig = Rig::new();
    for _ in 0..5 {
        wait(rig.store.enqueue((0..5000).map(|_| task()).collect())).unwrap();
    }
    let last = rig.add(keyed("k"));
    assert_eq!(list(&rig, Filter { keys: vec!["k".to_owned()], ..Filter::default() }), [last]);
    assert_eq!(list(&rig, Filter { keys: vec!["l".to_owned()], ..Filter::default() }), []);
}

#[test]
fn what_is_out_of_scope_is_not_there() {
    let rig = Rig::new();
    let id = rig.add(task());
    let get = |scope| wait(rig.store.get(scope, id));
    assert_eq!(get(Scope::Owner(Owner(1000))).unwrap().id, id);
    assert!(matches!(get(Scope::Owner(Owner(0))), Err(ReadError::NotFound(missing)) if missing == id));
}

#[test]
fn a_setting_is_kept_until_it_is_removed() {
    let rig = Rig::new();
    let put = |rig: &Rig, value: Option<&str>| wait(rig.store.put_setting("pause", value.map(str::to_owned))).unwrap();
    put(&rig, Some("always"));
    put(&rig, Some("until 7"));
    let rig = rig.reopen(START);
    let get = |name| wait(rig.store.setting(name)).unwrap();
    assert_eq!(get("pause").as_deref(), Some("until 7"));
    assert_eq!(get("other"), None);
    put(&rig, None);
    assert_eq!(get("pause"), None);
}
