/* Mail servers for the bench: thousands of loopback addresses on one port, one process, epoll.
 *
 * server SERVICE: greets as the service does, answers a careful client's commands by a table, as fast
 * as it can, so that the client is what is measured. It is bound to the loopback device: no stranger
 * reaches it. Prints its port.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct rule {
    const char *command, *answer;
};

/* A command is answered by the first rule it begins with; behind the last one the session ends. Where
 * commands are tagged, the tag stands in an answer's stead of "T". */
struct service {
    const char *name, *greeting;
    int tagged;
    struct rule rules[10];
};

static const struct service services[] = {
    {"ssh", "SSH-2.0-bench\r\n", 0, {{0}}},
    {"pop2", "+ POP2 bench 2007f.75 server ready\r\n", 0,
     {{"HELO", "- Missing user or password\r\n"}, {"", "+ Sayonara\r\n"}, {0}}},
    {"pop3", "+OK POP3 bench ready\r\n", 0,
     {{"CAPA", "+OK\r\nUSER\r\nTOP\r\nUIDL\r\nSASL PLAIN\r\n.\r\n"},
      {"USER", "+OK\r\n"},
      {"AUTH PLAIN", "+ \r\n"},
      {"AUTH", "-ERR Unsupported authentication mechanism.\r\n"},
      {"*", "-ERR cancelled\r\n"},
      {"STLS", "-ERR Unknown command.\r\n"},
      {"QUIT", "+OK\r\n"},
      {0}}},
    {"imap", "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] bench ready\r\n", 1,
     {{"CAPABILITY", "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nT OK done\r\n"},
      {"LOGIN", "T NO [AUTHENTICATIONFAILED] Authentication failed.\r\n"},
      {"AUTHENTICATE PLAIN", "+ \r\n"},
      {"AUTHENTICATE", "T NO Unsupported authentication mechanism.\r\n"},
      {"", "T BAD cancelled or unknown\r\n"},
      {0}}},
    {"smtp", "220 bench ESMTP ready\r\n", 0,
     {{"EHLO", "250-bench\r\n250-SIZE 10240000\r\n250 AUTH PLAIN\r\n"},
      {"HELP", "214 no help\r\n"},
      {"AUTH PLAIN", "334 \r\n"},
      {"AUTH", "504 5.5.4 Unrecognized authentication type\r\n"},
      {"*", "501 5.7.0 Authentication aborted\r\n"},
      {"STARTTLS", "502 5.5.1 Error: command not implemented\r\n"},
      {"QUIT", "221 Bye\r\n"},
      {0}}},
};

static const struct service *service;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void say(int fd, const char *text)
{
    if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
        return; /* the close that follows is seen by epoll */
}

/* Answers one line; 0 where the session ends. */
static int answer(int fd, const char *line, char tag[16])
{
    char text[512];
    const char *blank = strchr(line, ' ');
    if (service->tagged && blank && blank - line < 15) {
        snprintf(tag, 16, "%.*s", (int)(blank - line), line);
        line = blank + 1;
    }
    const struct rule *rule = service->rules;
    while (rule->command && strncmp(line, rule->command, strlen(rule->command)))
        rule++;
    if (!rule->command)
        return 0;
    const char *place = service->tagged ? strchr(rule->answer, 'T') : NULL;
    /* The tag's place begins a line. */
    while (place && place != rule->answer && place[-1] != '\n')
        place = strchr(place + 1, 'T');
    if (!place) {
        say(fd, rule->answer);
        return 1;
    }
    snprintf(text, sizeof text, "%.*s%s%s", (int)(place - rule->answer), rule->answer, tag, place + 1);
    say(fd, text);
    return strncmp(line, "LOGOUT", 6) != 0;
}

int main(int argc, char **argv)
{
    static char tags[65536][16];
    for (size_t i = 0; i < sizeof services / sizeof *services; i++)
        if (argc == 2 && !strcmp(argv[1], services[i].name))
            service = &services[i];
    if (!service) {
        fprintf(stderr, "server SERVICE\n");
        return 2;
    }
    int epoll = epoll_create1(0), yes = 1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in any = {.sin_family = AF_INET};
    socklen_t size = sizeof any;
    if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) ||
        setsockopt(listener, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2))
        die("setsockopt");
    if (bind(listener, (struct sockaddr *)&any, sizeof any) || listen(listener, 4096) ||
        getsockname(listener, (struct sockaddr *)&any, &size))
        die("listen");
    printf("%d\n", ntohs(any.sin_port));
    fflush(stdout);

    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[256];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    event.data.fd = fd;
                    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
                    say(fd, service->greeting);
                }
                continue;
            }
            char line[512];
            ssize_t got = recv(fd, line, sizeof line - 1, 0);
            if (got > 0) {
                line[got] = 0;
                if (fd < 65536 && answer(fd, line, tags[fd]) && strncmp(line, "QUIT", 4))
                    continue;
            }
            close(fd);
        }
    }
}
