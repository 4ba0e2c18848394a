/* Hands work to Ferry and waits until the server has it, with sd-bus (Debian package libsystemd-dev):
 *
 *     cc -Wall -o enqueue examples/enqueue.c $(pkg-config --cflags --libs libsystemd)
 *     ./enqueue '{"photo": 7, "title": "Harbour"}'
 *     ./enqueue --file harbour.jpg
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-id128.h>

#define NAME "org.ferryd.Ferry1"
#define ROOT "/org/ferryd/Ferry1"
#define cleanup(function) __attribute__((cleanup(function)))

struct job {
    const char *payload, *file;
    int descriptor;
    /* With the same request_id a repeated call adds nothing. An app that keeps it with its work may crash, too. */
    char request_id[SD_ID128_STRING_MAX];
    char task[37], state[16];
    /* Something happened that was not looked at yet. */
    bool news, subscribed;
};

static int told(sd_bus_message *signal, void *data, sd_bus_error *error) {
    struct job *job = data;
    const char *task;
    if (sd_bus_message_read(signal, "s", &task) > 0 && strcmp(task, job->task) == 0)
        job->news = true;
    return 0;
}

static int came_or_went(sd_bus_message *signal, void *data, sd_bus_error *error) {
    struct job *job = data;
    job->news = true;
    job->subscribed = false;
    return 0;
}

static int enqueue(sd_bus *bus, struct job *job, sd_bus_error *error) {
    cleanup(sd_bus_message_unrefp) sd_bus_message *answer = NULL;
    const char *task;
    int r;
    if (job->file)
        r = sd_bus_call_method(bus, NAME, ROOT, NAME ".Tasks", "EnqueueFile", error, &answer,
                               "sha{sv}", "photo", job->descriptor, 3, "request_id", "s", job->request_id,
                               "key", "s", "example", "name", "s", job->file);
    else
        r = sd_bus_call_method(bus, NAME, ROOT, NAME ".Tasks", "Enqueue", error, &answer,
                               "ssa{sv}", "metadata", job->payload, 2, "request_id", "s", job->request_id,
                               "key", "s", "example");
    if (r < 0 || (r = sd_bus_message_read(answer, "s", &task)) < 0)
        return r;
    snprintf(job->task, sizeof job->task, "%s", task);
    return 0;
}

static int look(sd_bus *bus, struct job *job, sd_bus_error *error) {
    cleanup(sd_bus_message_unrefp) sd_bus_message *answer = NULL;
    const char *key, *state = "", *problem = "";
    int r = sd_bus_call_method(bus, NAME, ROOT, NAME ".Tasks", "Get", error, &answer, "s", job->task);
    if (r < 0 || (r = sd_bus_message_enter_container(answer, 'a', "{sv}")) < 0)
        return r;
    while ((r = sd_bus_message_enter_container(answer, 'e', "sv")) > 0) {
        if ((r = sd_bus_message_read(answer, "s", &key)) < 0)
            return r;
        if (strcmp(key, "state") == 0)
            r = sd_bus_message_read(answer, "v", "s", &state);
        else if (strcmp(key, "error") == 0)
            r = sd_bus_message_read(answer, "v", "s", &problem);
        else
            r = sd_bus_message_skip(answer, "v");
        if (r < 0 || (r = sd_bus_message_exit_container(answer)) < 0)
            return r;
    }
    printf("%s %s %s\n", job->task, state, problem);
    snprintf(job->state, sizeof job->state, "%s", state);
    return r;
}

static int hand_over(sd_bus *bus, struct job *job) {
    cleanup(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
    int r = 0;
    /* First: then no change can be missed. */
    if (!job->subscribed) {
        r = sd_bus_call_method(bus, NAME, ROOT, NAME ".Manager", "Subscribe", &error, NULL, "a{sv}", 0);
        job->subscribed = r >= 0;
    }
    if (r >= 0 && !job->task[0])
        r = enqueue(bus, job, &error);
    if (r >= 0)
        r = look(bus, job, &error);
    if (r >= 0)
        return r;
    /* ferryd has gone, or is going: when it is back, one calls again. */
    if (sd_bus_error_has_names(&error, SD_BUS_ERROR_SERVICE_UNKNOWN, SD_BUS_ERROR_NO_REPLY, NAME ".Error.Unavailable")) {
        puts("waiting for ferryd");
        return 0;
    }
    fprintf(stderr, "%s\n", error.message ? error.message : strerror(-r));
    return r;
}

static bool has_ended(const struct job *job) {
    return strcmp(job->state, "done") == 0 || strcmp(job->state, "failed") == 0 || strcmp(job->state, "cancelled") == 0;
}

static int run(sd_bus *bus, struct job *job) {
    int r = sd_bus_match_signal(bus, NULL, NAME, ROOT, NAME ".Tasks", "StateChanged", told, job);
    if (r >= 0)
        r = sd_bus_add_match(bus, NULL,
                             "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='" NAME "'",
                             came_or_went, job);
    /* No time limit: a large file takes its time to be copied, and if ferryd ends, the bus answers for it. */
    if (r >= 0)
        r = sd_bus_set_method_call_timeout(bus, UINT64_MAX);
    if (r >= 0)
        r = hand_over(bus, job);
    while (r >= 0 && !has_ended(job)) {
        r = sd_bus_process(bus, NULL);
        if (r == 0)
            r = sd_bus_wait(bus, UINT64_MAX);
        if (r >= 0 && job->news) {
            job->news = false;
            r = hand_over(bus, job);
        }
    }
    return r;
}

int main(int count, char **words) {
    cleanup(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
    struct job job = {0};
    sd_id128_t id;
    if (count == 3 && strcmp(words[1], "--file") == 0) {
        const char *slash = strrchr(words[2], '/');
        job.file = slash ? slash + 1 : words[2];
        job.descriptor = open(words[2], O_RDONLY | O_CLOEXEC);
        if (job.descriptor < 0) {
            perror(words[2]);
            return 1;
        }
    } else if (count == 2) {
        job.payload = words[1];
    } else {
        fprintf(stderr, "usage: %s JSON | --file FILE\n", words[0]);
        return 2;
    }
    setlinebuf(stdout);
    int r = sd_id128_randomize(&id);
    if (r >= 0)
        r = sd_bus_open_system(&bus);
    if (r < 0) {
        fprintf(stderr, "%s\n", strerror(-r));
        return 1;
    }
    sd_id128_to_string(id, job.request_id);
    return run(bus, &job) >= 0 && strcmp(job.state, "done") == 0 ? 0 : 1;
}
