//! Where there is no polkit, or none that matters: the configuration's admins, and in a session its user.

use crate::calls::{MANAGER, TASKS, refused};
use crate::machine::{ANNA, BERT, DAEMON, Machine, ROOT_USER, none, require};
use crate::mock::Mood;
use crate::system_bus;

#[tokio::test]
async fn without_polkit_the_configured_users_and_groups_may_all_until_polkit_comes() {
    if !require() {
        return;
    }
    for admin in ["daemon", "group:1"] {
        let machine = Machine::start(&format!("[access]\nadmins = ['{admin}']"));
        let (mut anna, mut bert) = (machine.user(ANNA).await, machine.user(BERT).await);
        let berts = bert.enqueue().await;
        anna.call(MANAGER, "Pause", &(none(),)).await.expect("an admin");
        anna.call_patiently(MANAGER, "Hold", &"a film").await.expect("an admin");
        anna.call(TASKS, "Get", &berts).await.expect("an admin");
        assert_eq!(anna.listed(none()).await, [berts.clone()]);
        for patient in [false, true] {
            let resumed = match patient {
                false => bert.call(MANAGER, "Resume", &(none(),)).await,
                true => bert.call_patiently(MANAGER, "Resume", &(none(),)).await,
            };
            refused(resumed, "NotAuthorized", "user 2 is no admin of this daemon; one must be to pause");
        }
        let annas = anna.enqueue().await;
        refused(bert.call(TASKS, "Get", &annas).await, "NotFound", &annas);
        assert_eq!(bert.listed(none()).await, [berts]);
        machine.user(ROOT_USER).await.call(MANAGER, "Resume", &(none(),)).await.expect("root");

        let polkit = machine.polkit(Mood::No).await;
        refused(anna.call(MANAGER, "Pause", &(none(),)).await, "NotAuthorized", "(org.ferryd.ferry1.control)");
        polkit.set(Mood::Yes);
        bert.call(MANAGER, "Pause", &(none(),)).await.expect("polkit's word");
    }
}

#[tokio::test]
async fn in_a_session_its_user_may_all_and_polkit_is_not_asked() {
    if !require() {
        return;
    }
    let bus = system_bus::start("sys");
    let address = bus.address().to_owned();
    let machine = Machine::start_on(bus, "", |ferryd| {
        ferryd.arg("--session").env("DBUS_SESSION_BUS_ADDRESS", address);
    });
    let mut polkit = machine.polkit(Mood::Yes).await;
    let mut user = machine.user(DAEMON).await;
    user.call(MANAGER, "Pause", &(none(),)).await.expect("its user");
    user.call(MANAGER, "Hold", &"a film").await.expect("its user");
    let mut anna = machine.user(ANNA).await;
    refused(anna.call(MANAGER, "Resume", &(none(),)).await, "NotAuthorized", "no admin");
    assert_eq!(anna.listed(none()).await.len(), 0);
    assert_eq!(polkit.questions().len(), 0);
}
