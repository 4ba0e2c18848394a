use std::time::Duration;

use zbus::message::Builder;

use super::book::{ALONE, FAILURE_KEPT, KEPT, OPEN, OPEN_OF_A_USER, PERSON};
use super::*;

const MILLISECOND: Duration = Duration::from_millis(1);
const NO: Answer = Answer::No { challenge: false };
const CHALLENGE: Answer = Answer::No { challenge: true };
const POLKIT: &str = ":1.3";

fn subject(number: u32) -> Subject {
    Subject { client: format!(":1.{number}").into(), uid: 1000 + number }
}

fn failed() -> Answer {
    Answer::Failed("it sleeps".into())
}

/// Asks about `:1.1` without interaction; the number of the new question.
fn asked(book: &mut Book<u32>, action: Action, waiter: u32, now: Instant) -> Number {
    match book.ask(&subject(1), action, Interaction::Forbidden, waiter, now) {
        Asked::New(number) => number,
        other => panic!("{other:?}"),
    }
}

fn known(book: &Book<u32>, action: Action, now: Instant) -> Option<Answer> {
    book.known(":1.1", action, Interaction::Forbidden, now).cloned()
}

#[test]
fn an_answer_holds_for_a_minute_and_a_failure_for_ten_seconds_for_that_client_and_action() {
    let (mut book, now) = (Book::default(), Instant::now());
    for (answer, kept) in
        [(Answer::Yes, KEPT), (NO, KEPT), (CHALLENGE, KEPT), (Answer::Absent, KEPT), (failed(), FAILURE_KEPT)]
    {
        let number = asked(&mut book, Action::Control, 7, now);
        assert_eq!(book.answered(number, &answer, now), [7]);
        assert_eq!(known(&book, Action::Control, now + kept - MILLISECOND), Some(answer));
        assert_eq!(known(&book, Action::Control, now + kept), None);
        assert_eq!(known(&book, Action::ManageAll, now), None);
        assert_eq!(book.known(":1.2", Action::Control, Interaction::Forbidden, now), None);
    }
}

#[test]
fn a_refusal_given_without_asking_a_person_does_not_tell_what_a_person_would_say() {
    let (mut book, now) = (Book::default(), Instant::now());
    for (answer, tells) in
        [(Answer::Yes, true), (Answer::Absent, true), (NO, false), (CHALLENGE, false), (failed(), false)]
    {
        let number = asked(&mut book, Action::Control, 7, now);
        book.answered(number, &answer, now);
        let with_a_person = book.known(":1.1", Action::Control, Interaction::Allowed, now);
        assert_eq!(with_a_person.is_some(), tells, "{answer:?}");
    }
}

#[test]
fn what_a_person_agreed_to_is_asked_again_and_what_was_known_before_is_forgotten() {
    let (mut book, now) = (Book::default(), Instant::now());
    let number = asked(&mut book, Action::Control, 1, now);
    book.answered(number, &CHALLENGE, now);
    for answer in [NO, Answer::Yes] {
        let Asked::New(number) = book.ask(&subject(1), Action::Control, Interaction::Allowed, 2, now) else {
            panic!("a person is not asked");
        };
        assert_eq!(known(&book, Action::Control, now), Some(CHALLENGE));
        assert_eq!(book.answered(number, &answer, now), [2]);
    }
    assert_eq!(known(&book, Action::Control, now), None, "polkit may know better now");
}

#[test]
fn who_asks_the_same_shares_one_question_and_is_answered_in_order() {
    let (mut book, now) = (Book::default(), Instant::now());
    let first = asked(&mut book, Action::Control, 1, now);
    for waiter in [2, 3] {
        assert_eq!(book.ask(&subject(1), Action::Control, Interaction::Forbidden, waiter, now), Asked::Joined);
    }
    assert_eq!(book.ask(&subject(1), Action::Control, Interaction::Allowed, 4, now), Asked::New(2));
    assert_eq!(book.ask(&subject(1), Action::ManageAll, Interaction::Forbidden, 5, now), Asked::New(3));
    assert_eq!(book.ask(&subject(2), Action::Control, Interaction::Forbidden, 6, now), Asked::New(4));
    assert_eq!(book.answered(first, &Answer::Yes, now), [1, 2, 3]);
    assert_eq!(book.answered(first, &Answer::Yes, now), [0; 0], "once");
    assert_eq!(book.answered(99, &Answer::Yes, now), [0; 0], "nobody's");
}

#[test]
fn when_something_changed_nothing_is_known_nor_what_was_being_answered() {
    let (mut book, now) = (Book::default(), Instant::now());
    let old = asked(&mut book, Action::Control, 1, now);
    book.answered(old, &Answer::Yes, now);
    let open = asked(&mut book, Action::ManageAll, 2, now);
    book.forget();
    assert_eq!(known(&book, Action::Control, now), None);
    assert_eq!(book.answered(open, &Answer::Yes, now), [2], "who waits is answered");
    assert_eq!(known(&book, Action::ManageAll, now), None);
    let open = asked(&mut book, Action::ManageAll, 3, now);
    book.forget();
    book.expired(now + ALONE);
    assert_eq!(known(&book, Action::ManageAll, now + ALONE), None);
    book.answered(open, &Answer::Yes, now + ALONE);
    assert_eq!(known(&book, Action::ManageAll, now + ALONE), None);
}

#[test]
fn a_client_that_leaves_leaves_nothing_behind() {
    let (mut book, now) = (Book::default(), Instant::now());
    let old = asked(&mut book, Action::Control, 1, now);
    book.answered(old, &Answer::Yes, now);
    let open = asked(&mut book, Action::Hold, 2, now);
    assert_eq!(book.left(":1.9"), []);
    let given_up = [GivenUp { number: open, interaction: Interaction::Forbidden, by: vec![2] }];
    assert_eq!(book.left(":1.1"), given_up);
    assert_eq!((known(&book, Action::Control, now), book.deadline()), (None, None));
    assert_eq!(book.answered(open, &Answer::Yes, now), [0; 0]);
    assert_eq!(known(&book, Action::Hold, now), None);
}

#[test]
fn a_question_has_its_time_and_a_late_answer_is_still_good_to_know() {
    let (mut book, now) = (Book::default(), Instant::now());
    book.ask(&subject(2), Action::Hold, Interaction::Allowed, 1, now);
    let alone = asked(&mut book, Action::Hold, 2, now);
    assert_eq!(book.deadline(), Some(now + ALONE));
    assert_eq!(book.expired(now + ALONE - MILLISECOND), []);
    let expired = book.expired(now + ALONE);
    assert_eq!(expired, [GivenUp { number: alone, interaction: Interaction::Forbidden, by: vec![2] }]);
    assert_eq!(book.deadline(), Some(now + PERSON));
    let silent = Answer::Failed("there was no answer within 5 s".into());
    assert_eq!(known(&book, Action::Hold, now + ALONE), Some(silent.clone()));
    // That polkit then says that it was cancelled is no news; a verdict is.
    let again = asked(&mut book, Action::Hold, 3, now + KEPT);
    book.expired(now + KEPT + ALONE);
    book.answered(alone, &failed(), now + KEPT + ALONE);
    assert_eq!(known(&book, Action::Hold, now + KEPT + ALONE), Some(silent));
    assert_eq!(book.answered(again, &NO, now + KEPT + ALONE), [0; 0]);
    assert_eq!(known(&book, Action::Hold, now + KEPT + ALONE), Some(NO));
    assert_eq!(book.expired(now + PERSON)[0].by, [1]);
    assert_eq!(book.deadline(), None);
}

#[test]
fn questions_that_polkit_leaves_unanswered_count_until_it_answers() {
    let (mut book, now) = (Book::default(), Instant::now());
    let ask = |book: &mut Book<u32>, uid: u32, client: usize| {
        let subject = Subject { client: format!(":1.{client}").into(), uid };
        book.ask(&subject, Action::Control, Interaction::Forbidden, 0, now)
    };
    for client in 0..OPEN_OF_A_USER {
        assert!(matches!(ask(&mut book, 1, client), Asked::New(_)), "{client}");
        book.left(&format!(":1.{client}"));
    }
    assert_eq!(ask(&mut book, 1, 100), Asked::Full(0));
    for client in OPEN_OF_A_USER..OPEN {
        let uid = u32::try_from(client).expect("few");
        assert!(matches!(ask(&mut book, uid, client), Asked::New(_)), "{client}");
    }
    book.expired(now + PERSON);
    assert_eq!(ask(&mut book, 2, 101), Asked::Full(0));
    book.answered(1, &NO, now);
    assert!(matches!(ask(&mut book, 1, 102), Asked::New(_)), "there is room again");
}

fn polkit() -> Polkit<u32> {
    Polkit::default()
}

fn ask(polkit: &mut Polkit<u32>, interaction: Interaction, waiter: u32) -> Vec<Message> {
    let due = polkit.ask(&subject(1), Action::ManageAll, interaction, waiter, Instant::now());
    assert_eq!(due.answered, []);
    due.send
}

fn member(message: &Message) -> String {
    message.header().member().expect("a member").to_string()
}

/// What polkit answers, as the serial number of the question demands.
fn verdict(question: &Message, yes: bool, challenge: bool) -> Message {
    let reply = Message::method_return(&question.header()).sender(POLKIT);
    reply.build(&((yes, challenge, HashMap::<&str, &str>::new()),)).expect("a message")
}

fn error(question: &Message, sender: &str, name: &str) -> Message {
    let reply = Message::error(&question.header(), name).sender(sender);
    reply.build(&("no",)).expect("a message")
}

#[test]
fn a_question_is_written_as_polkit_reads_it_and_its_signals_are_asked_for_first_and_once() {
    let mut polkit = polkit();
    let sent = ask(&mut polkit, Interaction::Allowed, 1);
    assert_eq!(sent.iter().map(member).collect::<Vec<_>>(), ["AddMatch", "AddMatch", "CheckAuthorization"]);
    let (header, body) = (sent[2].header(), sent[2].body());
    assert_eq!(header.destination().expect("a destination").as_str(), "org.freedesktop.PolicyKit1");
    assert_eq!(header.path().expect("a path").as_str(), "/org/freedesktop/PolicyKit1/Authority");
    assert_eq!(header.interface().expect("an interface").as_str(), "org.freedesktop.PolicyKit1.Authority");
    assert_eq!(body.signature().to_string_no_parens(), "(sa{sv})sa{ss}us");
    type Body<'a> = ((&'a str, HashMap<&'a str, Variant<'a>>), &'a str, HashMap<&'a str, &'a str>, u32, &'a str);
    let ((kind, details), action, more, flags, cancellation): Body<'_> = body.deserialize().expect("its types");
    assert_eq!((kind, details["name"].downcast_ref::<&str>().expect("a text")), ("system-bus-name", ":1.1"));
    assert_eq!((action, more.len(), flags, cancellation), ("org.ferryd.ferry1.manage-all", 0, 1, "ferryd-1"));

    assert_eq!(ask(&mut polkit, Interaction::Allowed, 2).len(), 0, "it is shared");
    let sent = ask(&mut polkit, Interaction::Forbidden, 3);
    let body = sent[0].body();
    let (.., flags, cancellation): Body<'_> = body.deserialize().expect("its types");
    assert_eq!((sent.len(), flags, cancellation), (1, 0, "ferryd-2"));
}

#[test]
fn every_action_has_the_name_that_its_policy_gives_it() {
    let ids = [Action::Hold, Action::Override, Action::Control, Action::ManageAll].map(Action::id);
    assert_eq!(ids, ["hold", "override", "control", "manage-all"].map(|name| format!("org.ferryd.ferry1.{name}")));
}

#[test]
fn an_answer_goes_to_who_asked_and_anything_else_is_no_answer() {
    let mut polkit = polkit();
    let question = ask(&mut polkit, Interaction::Forbidden, 1).pop().expect("a question");
    ask(&mut polkit, Interaction::Forbidden, 2);
    let other = Message::method_call("/", "Other").build(&()).expect("a message");
    assert!(polkit.on_reply(&verdict(&other, true, false), Instant::now()).is_none());
    let due = polkit.on_reply(&verdict(&question, false, true), Instant::now()).expect("ours");
    assert_eq!((due.answered, due.send.len()), (vec![(1, CHALLENGE), (2, CHALLENGE)], 0));
    assert!(polkit.on_reply(&verdict(&question, true, false), Instant::now()).is_none(), "answered");
}

#[test]
fn only_the_bus_can_say_that_there_is_no_polkit() {
    let failed = |words: &str| Answer::Failed(words.into());
    let cases = [
        (BUS, "org.freedesktop.DBus.Error.ServiceUnknown", Answer::Absent),
        (BUS, "org.freedesktop.DBus.Error.NameHasNoOwner", Answer::Absent),
        (BUS, "org.freedesktop.DBus.Error.NoReply", failed("it ended before it answered")),
        (
            BUS,
            "org.freedesktop.DBus.Error.Spawn.ChildExited",
            failed("org.freedesktop.DBus.Error.Spawn.ChildExited: \"no\""),
        ),
        (BUS, "org.freedesktop.DBus.Error.AccessDenied", failed("org.freedesktop.DBus.Error.AccessDenied: \"no\"")),
        (
            POLKIT,
            "org.freedesktop.DBus.Error.NameHasNoOwner",
            failed("org.freedesktop.DBus.Error.NameHasNoOwner: \"no\""),
        ),
        (
            POLKIT,
            "org.freedesktop.DBus.Error.ServiceUnknown",
            failed("org.freedesktop.DBus.Error.ServiceUnknown: \"no\""),
        ),
        (POLKIT, "org.freedesktop.DBus.Error.NoReply", failed("org.freedesktop.DBus.Error.NoReply: \"no\"")),
        (POLKIT, "org.freedesktop.PolicyKit1.Error.Failed", failed("org.freedesktop.PolicyKit1.Error.Failed: \"no\"")),
    ];
    for (sender, name, answer) in cases {
        let mut polkit = polkit();
        let question = ask(&mut polkit, Interaction::Forbidden, 1).pop().expect("a question");
        let due = polkit.on_reply(&error(&question, sender, name), Instant::now()).expect("ours");
        assert_eq!(due.answered, [(1, answer)], "{name} from {sender}");
    }
    let mut polkit = polkit();
    let question = ask(&mut polkit, Interaction::Forbidden, 1).pop().expect("a question");
    let nonsense = Message::method_return(&question.header()).build(&("yes",)).expect("a message");
    let due = polkit.on_reply(&nonsense, Instant::now()).expect("ours");
    assert!(matches!(&due.answered[..], [(1, Answer::Failed(why))] if why.contains("cannot be read")), "{due:?}");
}

fn signal(sender: &str, interface: &str, name: &str) -> Builder<'static> {
    let (sender, interface, name) = (sender.to_owned(), interface.to_owned(), name.to_owned());
    let signal = Message::signal("/org/freedesktop/PolicyKit1/Authority", interface, name);
    signal.sender(sender)
}

#[test]
fn what_is_known_goes_when_polkit_says_that_something_changed_or_comes_or_goes() {
    let owner =
        |name: &str, new: &str| signal(BUS, BUS, "NameOwnerChanged").build(&(name, ":1.2", new)).expect("a signal");
    let changed = |sender: &str| signal(sender, INTERFACE, "Changed").build(&()).expect("a signal");
    let cases = [
        (changed(POLKIT), true),
        (changed(":1.66"), false),
        (owner(NAME, ":1.5"), true),
        (owner(NAME, ""), true),
        (owner("org.freedesktop.Other", ""), false),
        (signal(":1.66", BUS, "NameOwnerChanged").build(&(NAME, ":1.2", "")).expect("a signal"), false),
        (signal(POLKIT, "org.freedesktop.DBus.Properties", "PropertiesChanged").build(&()).expect("a signal"), false),
    ];
    for (signal, forgets) in cases {
        let mut polkit = polkit();
        let question = ask(&mut polkit, Interaction::Forbidden, 1).pop().expect("a question");
        let now = Instant::now();
        let due = polkit.on_reply(&verdict(&question, true, false), now).expect("ours");
        assert_eq!(due.answered, [(1, Answer::Yes)]);
        assert_eq!(polkit.on_signal(&signal), forgets, "{signal:?}");
        let known = polkit.known(":1.1", Action::ManageAll, Interaction::Forbidden, now);
        assert_eq!(known.is_none(), forgets, "{signal:?}");
    }
    // Another process is polkit now, and its word counts.
    let mut polkit = polkit();
    polkit.on_signal(&owner(NAME, ":1.5"));
    assert!(polkit.on_signal(&changed(":1.5")) && !polkit.on_signal(&changed(POLKIT)));
}

#[test]
fn a_question_that_is_given_up_is_cancelled_by_its_name() {
    let cancelled = |due: &Due<u32>| {
        let message = &due.send[0];
        assert_eq!((due.send.len(), member(message).as_str()), (1, "CancelCheckAuthorization"));
        assert!(message.primary_header().flags().contains(Flags::NO_REPLY_EXPECTED | Flags::NO_AUTO_START));
        message.body().deserialize::<String>().expect("a text")
    };
    let now = Instant::now();
    let told = |due: Due<u32>| match &due.answered[..] {
        [(1, Answer::Failed(why))] => why.clone(),
        other => panic!("{other:?}"),
    };
    let mut one = polkit();
    ask(&mut one, Interaction::Allowed, 1);
    let due = one.left(":1.1");
    assert_eq!((cancelled(&due), told(due)), ("ferryd-1".into(), "the caller left".into()));

    let mut one = polkit();
    let question = ask(&mut one, Interaction::Allowed, 1).pop().expect("a question");
    let due = one.on_deadline(now + PERSON + Duration::from_secs(1));
    assert_eq!((cancelled(&due), told(due)), ("ferryd-1".into(), "there was no answer within 110 s".into()));
    let late = error(&question, POLKIT, "org.freedesktop.PolicyKit1.Error.Cancelled");
    assert_eq!(one.on_reply(&late, now).expect("ours").answered, []);

    let mut one = polkit();
    ask(&mut one, Interaction::Forbidden, 1);
    let due = one.close();
    assert_eq!((cancelled(&due), told(due)), ("ferryd-1".into(), "the daemon is stopping".into()));
}

#[test]
fn beyond_too_many_open_questions_nobody_is_asked_and_who_wishes_to_know_is_told() {
    let mut polkit = polkit();
    let now = Instant::now();
    for client in 0..OPEN_OF_A_USER {
        let subject = Subject { client: format!(":1.{client}").into(), uid: 1 };
        drop(polkit.ask(&subject, Action::Hold, Interaction::Forbidden, 1, now));
    }
    let due = polkit.ask(&Subject { client: ":1.99".into(), uid: 1 }, Action::Hold, Interaction::Forbidden, 7, now);
    assert_eq!(due.send.len(), 0);
    assert!(matches!(&due.answered[..], [(7, Answer::Failed(why))] if why.contains("too many")), "{due:?}");
}
