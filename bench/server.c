/* A POP2 server for the bench: thousands of loopback addresses on one port, one process, epoll.
 *
 * It greets, refuses a bare HELO, goes on, and says goodbye to QUIT, as fast as it can, so that the
 * client is what is measured. It is bound to the loopback device: no stranger reaches it. Prints its
 * port.
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

static const char GREETING[] = "+ POP2 bench 2007f.75 server ready\r\n";
static const char REFUSAL[] = "- Missing user or password\r\n";
static const char GOODBYE[] = "+ Sayonara\r\n";

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

int main(void)
{
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
                    say(fd, GREETING);
                }
                continue;
            }
            char line[512];
            ssize_t got = recv(fd, line, sizeof line, 0);
            if (got > 0 && !strncmp(line, "HELO", 4)) {
                say(fd, REFUSAL);
                continue;
            }
            if (got > 0)
                say(fd, GOODBYE);
            close(fd);
        }
    }
}
