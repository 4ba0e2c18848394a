use super::*;

fn message(name: &str, bytes: usize) -> Message {
    Message::method_call("/", name).build(&("x".repeat(bytes),)).expect("a message")
}

fn now() -> Instant {
    Instant::now()
}

fn done(clients: &mut Clients, ticket: &Ticket) {
    clients.answered(ticket);
    clients.written(ticket, now());
}

fn caller() -> Caller {
    Caller { uid: 1, gids: vec![], app: "app".into() }
}

fn name_of(call: &Call) -> String {
    call.message.header().member().expect("a member").to_string()
}

fn begun(clients: &mut Clients) -> Vec<(String, Ticket)> {
    std::iter::from_fn(|| clients.next()).map(|(ticket, call)| (name_of(&call), ticket)).collect()
}

fn names(begun: &[(String, Ticket)]) -> Vec<&str> {
    begun.iter().map(|(name, _)| name.as_str()).collect()
}

fn known(names: &[&str]) -> Clients {
    let mut clients = Clients::default();
    for name in names {
        assert_eq!(clients.arrived(name, message("Hello", 1), Effect::None, now()), Arrival::Ask);
        clients.identified(name, caller());
        let hello = begun(&mut clients);
        done(&mut clients, &hello[0].1);
    }
    clients
}

#[test]
fn nothing_begins_before_the_bus_has_said_who_calls_and_then_all_in_order() {
    let mut clients = Clients::default();
    assert_eq!(clients.arrived(":1.1", message("A", 1), Effect::Write, now()), Arrival::Ask);
    assert_eq!(clients.arrived(":1.1", message("B", 1), Effect::None, now()), Arrival::Queued);
    assert_eq!(clients.arrived(":1.1", message("C", 1), Effect::Write, now()), Arrival::Queued);
    assert!(clients.next().is_none());
    clients.identified(":1.1", caller());
    assert_eq!(names(&begun(&mut clients)), ["A", "B", "C"]);
}

#[test]
fn a_read_waits_for_earlier_writes_only_and_holds_up_nothing() {
    let mut clients = known(&[":1.1"]);
    for (name, effect) in
        [("W1", Effect::Write), ("R1", Effect::Read), ("W2", Effect::Write), ("R2", Effect::Read), ("N", Effect::None)]
    {
        clients.arrived(":1.1", message(name, 1), effect, now());
    }
    let first = begun(&mut clients);
    assert_eq!(names(&first), ["W1", "W2", "N"]);
    done(&mut clients, &first[1].1);
    assert_eq!(names(&begun(&mut clients)), [""; 0], "W1 is not on disk");
    done(&mut clients, &first[0].1);
    assert_eq!(names(&begun(&mut clients)), ["R1", "R2"]);
}

#[test]
fn behind_a_file_its_connections_writes_and_files_wait_and_nobody_elses() {
    let mut clients = known(&[":1.1", ":1.2"]);
    for (name, effect) in [
        ("W1", Effect::Write),
        ("F1", Effect::File),
        ("R1", Effect::Read),
        ("N1", Effect::None),
        ("F2", Effect::File),
        ("W2", Effect::Write),
        ("R2", Effect::Read),
    ] {
        clients.arrived(":1.1", message(name, 1), effect, now());
    }
    clients.arrived(":1.2", message("W", 1), Effect::Write, now());
    clients.arrived(":1.2", message("F", 1), Effect::File, now());
    let first = begun(&mut clients);
    assert_eq!(names(&first), ["W1", "W", "F1", "F", "N1"]);
    done(&mut clients, &first[0].1);
    assert_eq!(names(&begun(&mut clients)), [""; 0], "F1 is being copied");
    done(&mut clients, &first[2].1);
    let second = begun(&mut clients);
    assert_eq!(names(&second), ["R1", "F2"]);
    done(&mut clients, &second[1].1);
    let third = begun(&mut clients);
    assert_eq!(names(&third), ["W2"]);
    done(&mut clients, &third[0].1);
    assert_eq!(names(&begun(&mut clients)), ["R2"]);
}

#[test]
fn descriptors_are_bounded_but_one_call_always_fits() {
    let file = std::fs::File::open("/dev/null").expect("a file");
    let with_file = || Message::method_call("/", "F").build(&(zbus::Fd::from(&file),)).expect("a message");
    let mut clients = Clients::default();
    assert_eq!(clients.arrived(":1.1", with_file(), Effect::File, now()), Arrival::Ask);
    for _ in 1..WAITING_FDS {
        assert_eq!(clients.arrived(":1.1", with_file(), Effect::File, now()), Arrival::Queued);
    }
    assert_eq!(clients.arrived(":1.1", with_file(), Effect::File, now()), Arrival::Busy);
    assert_eq!(clients.arrived(":1.1", message("W", 1), Effect::Write, now()), Arrival::Queued);
    clients.identified(":1.1", caller());
    assert_eq!(begun(&mut clients).len(), 1);
    assert_eq!(clients.arrived(":1.1", with_file(), Effect::File, now()), Arrival::Queued);
    assert_eq!(clients.arrived(":1.2", with_file(), Effect::File, now()), Arrival::Ask);
    assert_eq!(clients.waiting_fds, WAITING_FDS + 1);
    clients.left(":1.1");
    assert_eq!(clients.waiting_fds, 1);
}

#[test]
fn connections_take_turns() {
    let mut clients = known(&[":1.1", ":1.2"]);
    for name in ["A1", "A2", "A3"] {
        clients.arrived(":1.1", message(name, 1), Effect::None, now());
    }
    clients.arrived(":1.2", message("B1", 1), Effect::None, now());
    assert_eq!(names(&begun(&mut clients)), ["A1", "B1", "A2", "A3"]);
}

#[test]
fn a_flood_waits_then_is_refused_and_goes_on_as_answers_go_out() {
    let mut clients = known(&[":1.1"]);
    let one = message("W", 1);
    for _ in 0..IN_FLIGHT {
        clients.arrived(":1.1", one.clone(), Effect::Write, now());
    }
    let tickets = begun(&mut clients);
    assert_eq!(tickets.len(), IN_FLIGHT);
    for _ in 0..WAITING_CALLS {
        assert_eq!(clients.arrived(":1.1", one.clone(), Effect::Write, now()), Arrival::Queued);
    }
    assert_eq!(clients.arrived(":1.1", one.clone(), Effect::Write, now()), Arrival::Busy);
    assert!(clients.next().is_none());
    done(&mut clients, &tickets[0].1);
    assert_eq!(begun(&mut clients).len(), 1);
    assert_eq!(clients.arrived(":1.1", one, Effect::Write, now()), Arrival::Queued);
    assert_eq!(clients.in_flight(), IN_FLIGHT);
}

#[test]
fn one_among_others_has_a_smaller_share_for_as_long_as_they_call() {
    let start = now();
    let mut clients = known(&[":1.1"]);
    let flood = |clients: &mut Clients, at: Instant| {
        for _ in 0..2 * IN_FLIGHT {
            clients.arrived(":1.1", message("W", 1), Effect::Write, at);
        }
        begun(clients).len()
    };
    clients.arrived(":1.2", message("A", 1), Effect::None, start);
    assert_eq!(flood(&mut clients, start), IN_FLIGHT_AMONG_OTHERS);
    let later = start + RECENTLY * 2;
    assert_eq!(flood(&mut clients, later), IN_FLIGHT - IN_FLIGHT_AMONG_OTHERS);
    assert_eq!(clients.in_flight(), IN_FLIGHT);
}

#[test]
fn one_that_uses_up_its_share_among_others_rests() {
    let start = now();
    let mut clients = known(&[":1.1", ":1.2"]);
    for _ in 0..2 * IN_FLIGHT_AMONG_OTHERS {
        clients.arrived(":1.1", message("W", 1), Effect::None, start);
    }
    clients.arrived(":1.2", message("A", 1), Effect::None, start);
    let first = begun(&mut clients);
    assert_eq!(first.len(), IN_FLIGHT_AMONG_OTHERS + 1);
    for (_, ticket) in &first {
        clients.answered(ticket);
        clients.written(ticket, start);
    }
    assert_eq!((clients.in_flight(), begun(&mut clients).len()), (0, 0));
    clients.arrived(":1.2", message("A", 1), Effect::None, start);
    assert_eq!(names(&begun(&mut clients)), ["A"], "who is modest does not rest");
    assert_eq!(clients.deadline(), Some(start + REST));
    assert!(clients.on_deadline(start + REST).is_empty());
    assert_eq!(begun(&mut clients).len(), IN_FLIGHT_AMONG_OTHERS);
    assert_eq!(clients.deadline(), None);
}

#[test]
fn an_answer_is_in_flight_until_it_is_written_but_reads_need_not_wait_for_that() {
    let mut clients = known(&[":1.1"]);
    clients.arrived(":1.1", message("W", 1), Effect::Write, now());
    clients.arrived(":1.1", message("R", 1), Effect::Read, now());
    let write = begun(&mut clients);
    clients.answered(&write[0].1);
    assert_eq!(names(&begun(&mut clients)), ["R"]);
    assert_eq!(clients.in_flight(), 2);
    clients.written(&write[0].1, now());
    assert_eq!(clients.in_flight(), 1);
}

#[test]
fn few_reads_are_in_flight_and_what_comes_behind_them_waits() {
    let mut clients = known(&[":1.1"]);
    for _ in 0..=READS_IN_FLIGHT {
        clients.arrived(":1.1", message("R", 1), Effect::Read, now());
    }
    clients.arrived(":1.1", message("W", 1), Effect::Write, now());
    let reads = begun(&mut clients);
    assert_eq!(reads.len(), READS_IN_FLIGHT);
    done(&mut clients, &reads[0].1);
    assert_eq!(names(&begun(&mut clients)), ["R", "W"]);
}

#[test]
fn nothing_begins_for_one_that_does_not_read_until_it_does() {
    let start = now();
    let mut clients = known(&[":1.1"]);
    let large = message("Answer", super::super::flow::WINDOW);
    assert!(clients.outgoing(":1.1", (large.clone(), None)).is_some());
    assert!(clients.outgoing(":1.1", (large, None)).is_none());
    clients.arrived(":1.1", message("A", 1), Effect::None, now());
    assert!(clients.next().is_none());
    for _ in 1..WAITING_CALLS {
        assert_eq!(clients.arrived(":1.1", message("A", 1), Effect::None, now()), Arrival::Queued);
    }
    assert_eq!(clients.arrived(":1.1", message("A", 1), Effect::None, now()), Arrival::Deaf);
    assert_eq!(clients.idle().count(), 0, "it must not be forgotten and begin anew");
    assert_eq!(clients.ask_about(false, start).len(), 1);
    assert_eq!(clients.ask_about(false, start).len(), 0);
    assert_eq!(clients.told(":1.1", 0, start).len(), 1);
    clients.ask_about(false, start);
    assert_eq!(clients.told(":1.1", 0, start).len(), 0);
    assert!(clients.next().is_some());
    assert!(clients.unsure.is_empty() && clients.deadline().is_none());
}

#[test]
fn what_is_not_begun_is_given_back_and_what_is_begun_stays() {
    let mut clients = Clients::default();
    clients.arrived(":1.2", message("Stranger", 0), Effect::Write, now());
    clients.arrived(":1.1", message("Write", 0), Effect::Write, now());
    clients.identified(":1.1", caller());
    clients.arrived(":1.1", message("Parked", 0), Effect::Read, now());
    let tickets = begun(&mut clients);
    clients.arrived(":1.1", message("Late", 0), Effect::Write, now());
    let name = |call: &Message| call.header().member().expect("a member").to_string();
    let mut names: Vec<_> = clients.unbegun().iter().map(name).collect();
    names.sort_unstable();
    assert_eq!(names, ["Late", "Parked", "Stranger"]);
    assert_eq!((tickets.len(), clients.in_flight()), (1, 1));
}

#[test]
fn bytes_are_bounded_but_one_call_always_fits() {
    let mut clients = Clients::default();
    let large = message("W", WAITING_BYTES);
    assert_eq!(clients.arrived(":1.1", large.clone(), Effect::Write, now()), Arrival::Ask);
    assert_eq!(clients.arrived(":1.1", message("W", 1), Effect::Write, now()), Arrival::Busy);
    for other in [":1.2", ":1.3", ":1.4", ":1.5"] {
        assert_eq!(clients.arrived(other, large.clone(), Effect::Write, now()), Arrival::Ask);
    }
    assert_eq!(clients.left(":1.1").len(), 1);
    assert_eq!(clients.waiting_bytes, 4 * large.data().len());
}

#[test]
fn who_left_is_forgotten_with_what_waited() {
    let mut clients = known(&[":1.1"]);
    clients.arrived(":1.1", message("A", 1), Effect::None, now());
    let begun_before = begun(&mut clients);
    clients.arrived(":1.1", message("B", 1), Effect::None, now());
    assert_eq!(clients.left(":1.1").len(), 1);
    done(&mut clients, &begun_before[0].1);
    assert!(clients.next().is_none());
    assert_eq!((clients.len(), clients.waiting_bytes), (0, 0));
}

#[test]
fn a_call_that_asks_whether_it_may_holds_nothing_up_until_it_goes_on() {
    let mut clients = known(&[":1.1"]);
    for (name, effect) in [("W", Effect::Write), ("R", Effect::Read)] {
        clients.arrived(":1.1", message(name, 1), effect, now());
    }
    let write = begun(&mut clients).remove(0);
    assert_eq!((write.0.as_str(), clients.in_flight()), ("W", 2), "the read waits for it");
    clients.asks(&write.1);
    let read = begun(&mut clients);
    assert_eq!((names(&read), clients.in_flight()), (vec!["R"], 1));
    done(&mut clients, &read[0].1);
    assert_eq!((clients.in_flight(), clients.idle().count()), (0, 0), "it is not idle: its name stands for its calls");
    clients.goes_on(&write.1);
    clients.arrived(":1.1", message("R", 1), Effect::Read, now());
    assert_eq!((begun(&mut clients).len(), clients.in_flight()), (0, 2), "a read waits for it again");
    done(&mut clients, &write.1);
    let read = begun(&mut clients);
    done(&mut clients, &read[0].1);
    assert_eq!((clients.in_flight(), clients.idle().count()), (0, 1));
}

#[test]
fn calls_that_ask_take_no_share_and_are_bounded_by_themselves() {
    let mut clients = known(&[":1.1"]);
    for _ in 0..2 * ASKING {
        clients.arrived(":1.1", message("R", 1), Effect::Read, now());
    }
    let mut asking = Vec::new();
    while let Some((ticket, _)) = clients.next() {
        clients.asks(&ticket);
        asking.push(ticket);
    }
    assert_eq!((asking.len(), clients.in_flight()), (ASKING, 0));
    let first = asking.remove(0);
    clients.goes_on(&first);
    done(&mut clients, &first);
    assert_eq!(begun(&mut clients).len(), READS_IN_FLIGHT);
}
