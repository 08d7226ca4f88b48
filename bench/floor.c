/* The floor for a scanner: what a minimal epoll client in C needs.
 *
 * floor FILE PORT CONCURRENCY [COMMAND...]: connects to each IPv4 address of FILE, reads the greeting,
 * sends each command and reads an answer to it, and closes. Prints how many got that far.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 65536 };
static unsigned char steps[MOST]; /* by descriptor */

int main(int argc, char **argv)
{
    FILE *file = argc >= 4 ? fopen(argv[1], "r") : NULL;
    if (!file) {
        fprintf(stderr, "floor FILE PORT CONCURRENCY [COMMAND...]\n");
        return 2;
    }
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    int most = atoi(argv[3]), open = 0, done = 0, more = 1, epoll = epoll_create1(0);
    char text[64], command[64];
    while (more || open) {
        while (more && open < most) {
            if (!fgets(text, sizeof text, file)) {
                more = 0;
                break;
            }
            text[strcspn(text, "\r\n")] = 0;
            inet_pton(AF_INET, text, &to.sin_addr);
            int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
            if (fd < 0 || fd >= MOST)
                return 1;
            if (connect(fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) {
                close(fd);
                continue;
            }
            struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.fd = fd};
            epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
            steps[fd] = 0;
            open++;
        }
        struct epoll_event events[1024];
        int count = epoll_wait(epoll, events, 1024, 10000);
        if (count <= 0 && open)
            return 1;
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            char answer[512];
            ssize_t got = recv(fd, answer, sizeof answer, 0);
            if (got > 0 && steps[fd] < argc - 4) {
                int size = snprintf(command, sizeof command, "%s\r\n", argv[4 + steps[fd]]);
                if (send(fd, command, size, MSG_NOSIGNAL) == size) {
                    steps[fd]++;
                    continue;
                }
            }
            done += got > 0;
            close(fd);
            open--;
        }
    }
    printf("%d\n", done);
    return 0;
}
