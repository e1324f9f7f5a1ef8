/* Asks a server on 127.0.0.1 the same thing again and again, and counts.
 *
 * One thread, epoll, OpenSSL, a closed loop: each connection asks as soon as it was answered. It is
 * in C so that the load costs less than the server. It ends by itself after the seconds given, or
 * after the answers given. Certificates of servers are not checked: that would be the client's cost.
 *
 *   keep    connections stay open, requests back to back
 *   full    a new connection with a full handshake for each request
 *   resume  a new connection for each request, with a ticket of the one before
 *
 * Prints one JSON object; latencies are in ms, processor time in ms per answer.
 *
 *   cc -O2 -o load load.c -lssl -lcrypto
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum mode { KEEP, FULL, RESUME };
enum phase { CLOSED, CONNECTING, SHAKING, WRITING, READING };

#define MAX_ANSWER 65536
#define MAX_ANSWERS 4000000 /* latencies kept */
#define MAX_FAILURES 100    /* then there is something to repair, not to measure */
#define MAX_PIDS 64

struct connection {
  int fd;
  enum phase phase;
  uint32_t awaited; /* epoll events registered */
  SSL *ssl;
  SSL_SESSION *ticket;
  size_t written, received;
  uint64_t begun;
  char answer[MAX_ANSWER + 1];
};

static SSL_CTX *tls;
static int poller;
static enum mode mode;
static struct sockaddr_in server;
static char request[16384];
static size_t request_size;
static const char *expected = "";
static clockid_t server_clocks[MAX_PIDS];
static int server_processes;

static uint32_t *latencies; /* microseconds */
static long answers, measured, failures, full_handshakes, resumed_handshakes;
static int measuring;
static char protocol[32], cipher[64], group[32];

static void give_up(const char *what) {
  fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
  ERR_print_errors_fp(stderr);
  exit(2);
}

static uint64_t clock_ns(clockid_t clock) {
  struct timespec now;
  if (clock_gettime(clock, &now)) return 0; /* the process has ended */
  return (uint64_t)now.tv_sec * 1000000000u + now.tv_nsec;
}

static uint64_t server_ns(void) {
  uint64_t sum = 0;
  for (int i = 0; i < server_processes; i++) sum += clock_ns(server_clocks[i]);
  return sum;
}

static int keep_ticket(SSL *ssl, SSL_SESSION *ticket) {
  struct connection *c = SSL_get_app_data(ssl);
  SSL_SESSION_free(c->ticket);
  c->ticket = ticket;
  return 1;
}

static void await(struct connection *c, uint32_t events) {
  if (c->awaited == events) return;
  struct epoll_event event = {.events = events, .data.ptr = c};
  if (epoll_ctl(poller, c->awaited ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &event)) give_up("epoll");
  c->awaited = events;
}

static void close_connection(struct connection *c) {
  if (c->ssl) {
    if (c->phase >= WRITING) SSL_shutdown(c->ssl);
    SSL_free(c->ssl);
    c->ssl = NULL;
  }
  close(c->fd);
  c->phase = CLOSED;
  c->awaited = 0;
}

static void fail(struct connection *c, const char *what) {
  failures++;
  fprintf(stderr, "load: %s %.400s\n", what, c->received ? c->answer : "");
  ERR_print_errors_fp(stderr);
  SSL_SESSION_free(c->ticket);
  c->ticket = NULL;
  close_connection(c);
}

static void open_connection(struct connection *c) {
  int yes = 1;
  c->begun = clock_ns(CLOCK_MONOTONIC);
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (c->fd < 0) give_up("socket");
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  c->written = c->received = 0;
  c->phase = CONNECTING;
  if (connect(c->fd, (struct sockaddr *)&server, sizeof server) && errno != EINPROGRESS)
    give_up("connect");
  await(c, EPOLLOUT);
}

static void begin_handshake(struct connection *c) {
  c->ssl = SSL_new(tls);
  SSL_set_fd(c->ssl, c->fd);
  SSL_set_app_data(c->ssl, c);
  SSL_set_tlsext_host_name(c->ssl, "localhost");
  if (mode == RESUME && c->ticket) {
    /* A ticket serves once in libssl; not every server sends a fresh one on each resumption. */
    SSL_SESSION *copy = SSL_SESSION_dup(c->ticket);
    SSL_set_session(c->ssl, copy);
    SSL_SESSION_free(copy);
  }
  SSL_set_connect_state(c->ssl);
  c->phase = SHAKING;
}

static void end_handshake(struct connection *c) {
  if (measuring) *(SSL_session_reused(c->ssl) ? &resumed_handshakes : &full_handshakes) += 1;
  if (!protocol[0]) {
    const char *name = SSL_group_to_name(c->ssl, SSL_get_negotiated_group(c->ssl));
    snprintf(protocol, sizeof protocol, "%s", SSL_get_version(c->ssl));
    snprintf(cipher, sizeof cipher, "%s", SSL_get_cipher_name(c->ssl));
    snprintf(group, sizeof group, "%s", name ? name : "");
  }
  c->phase = WRITING;
}

/* 1 when OpenSSL only waits for the socket; the events are then awaited. */
static int only_waits(struct connection *c, int result) {
  int error = SSL_get_error(c->ssl, result);
  if (error == SSL_ERROR_WANT_READ) await(c, EPOLLIN);
  else if (error == SSL_ERROR_WANT_WRITE) await(c, EPOLLOUT);
  else return 0;
  return 1;
}

/* Whether the answer is whole. Both servers send Content-Length or chunks. */
static int is_whole(struct connection *c) {
  c->answer[c->received] = 0;
  char *end = strstr(c->answer, "\r\n\r\n");
  if (!end) return 0;
  char *body = end + 4;
  char *length = strcasestr(c->answer, "\r\ncontent-length:");
  if (length && length < end)
    return c->received >= (size_t)(body - c->answer) + strtoul(length + 17, NULL, 10);
  return !memcmp(c->answer + c->received - 5, "0\r\n\r\n", 5);
}

static void take_answer(struct connection *c) {
  if (strncmp(c->answer, "HTTP/1.1 200", 12) || !strstr(c->answer, expected)) {
    fail(c, "unexpected answer:");
    return;
  }
  answers++;
  uint64_t now = clock_ns(CLOCK_MONOTONIC);
  if (measuring && measured < MAX_ANSWERS) latencies[measured++] = (now - c->begun) / 1000;
  c->written = c->received = 0;
  c->begun = now;
  if (mode == KEEP) c->phase = WRITING;
  else close_connection(c);
}

/* Goes on with a connection until it has to wait. */
static void drive(struct connection *c) {
  int result;
  switch (c->phase) {
  case CLOSED:
    open_connection(c);
    return;
  case CONNECTING:
    begin_handshake(c);
    /* fall through */
  case SHAKING:
    if ((result = SSL_do_handshake(c->ssl)) != 1) {
      if (!only_waits(c, result)) fail(c, "handshake");
      return;
    }
    end_handshake(c);
    if (mode == KEEP) c->begun = clock_ns(CLOCK_MONOTONIC); /* the first request is one like others */
    /* fall through */
  case WRITING:
    if ((result = SSL_write(c->ssl, request, request_size)) <= 0) {
      if (!only_waits(c, result)) fail(c, "write");
      return;
    }
    c->phase = READING;
    await(c, EPOLLIN);
    /* fall through */
  case READING:
    result = SSL_read(c->ssl, c->answer + c->received, MAX_ANSWER - c->received);
    if (result <= 0) {
      if (!only_waits(c, result)) fail(c, "read");
      return;
    }
    c->received += result;
    if (!is_whole(c)) return; /* level-triggered: epoll comes back, or the rest is in OpenSSL */
    take_answer(c);
  }
}

static int wants_more(const struct connection *c) {
  return c->phase == CLOSED || c->phase == WRITING || (c->ssl && SSL_pending(c->ssl));
}

static int by_size(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

static double percentile(double part) {
  return measured ? latencies[(long)((measured - 1) * part)] / 1000.0 : 0;
}

static void read_pids(char *list) {
  for (char *rest = list, *pid; (pid = strsep(&rest, ",")) && server_processes < MAX_PIDS;)
    if (clock_getcpuclockid(atoi(pid), &server_clocks[server_processes++])) give_up("no such process");
}

int main(int argc, char **argv) {
  static const struct option known[] = {{"port", 1, 0, 'p'},    {"mode", 1, 0, 'm'}, {"connections", 1, 0, 'c'},
                                        {"warmup", 1, 0, 'w'},  {"seconds", 1, 0, 's'}, {"answers", 1, 0, 'n'},
                                        {"cert", 1, 0, 'C'},    {"key", 1, 0, 'K'},  {"path", 1, 0, 'u'},
                                        {"body", 1, 0, 'b'},    {"expect", 1, 0, 'e'}, {"pids", 1, 0, 'P'}, {0}};
  const char *path = "/", *body = NULL, *certificate = NULL, *key = NULL;
  int port = 0, connections = 1;
  double warmup = 0.5, seconds = 2;
  long most = 0;
  for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) switch (option) {
    case 'p': port = atoi(optarg); break;
    case 'm': mode = !strcmp(optarg, "keep") ? KEEP : !strcmp(optarg, "full") ? FULL : RESUME; break;
    case 'c': connections = atoi(optarg); break;
    case 'w': warmup = atof(optarg); break;
    case 's': seconds = atof(optarg); break;
    case 'n': most = atol(optarg); break;
    case 'C': certificate = optarg; break;
    case 'K': key = optarg; break;
    case 'u': path = optarg; break;
    case 'b': body = optarg; break;
    case 'e': expected = optarg; break;
    case 'P': read_pids(optarg); break;
    default: return 2;
    }
  signal(SIGPIPE, SIG_IGN);
  server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  request_size = snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: localhost:%d\r\nConnection: %s\r\n",
                          body ? "POST" : "GET", path, port, mode == KEEP ? "keep-alive" : "close");
  request_size += snprintf(request + request_size, sizeof request - request_size,
                           body ? "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %zu\r\n\r\n%s" : "\r\n",
                           body ? strlen(body) : 0, body ? body : "");
  if (request_size >= sizeof request) give_up("the request is too long");

  tls = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION);
  SSL_CTX_set_verify(tls, SSL_VERIFY_NONE, NULL);
  SSL_CTX_set1_groups_list(tls, "X25519:P-256"); /* the same work for every server and OpenSSL */
  if (certificate && SSL_CTX_use_certificate_chain_file(tls, certificate) != 1) give_up(certificate);
  if (key && SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1) give_up(key);
  SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  if (mode == RESUME) SSL_CTX_sess_set_new_cb(tls, keep_ticket);

  latencies = malloc(MAX_ANSWERS * sizeof *latencies);
  struct connection *all = calloc(connections, sizeof *all);
  poller = epoll_create1(EPOLL_CLOEXEC);
  if (!latencies || !all || poller < 0) give_up("start");
  for (int i = 0; i < connections; i++) open_connection(&all[i]);

  uint64_t start = clock_ns(CLOCK_MONOTONIC), now = start, from = 0, load_cpu = 0, server_cpu = 0;
  long before = 0;
  struct epoll_event events[256];
  for (;;) {
    int ready = epoll_wait(poller, events, 256, 50);
    for (int i = 0; i < ready; i++) {
      struct connection *c = events[i].data.ptr;
      do drive(c);
      while (wants_more(c) && failures <= MAX_FAILURES);
    }
    now = clock_ns(CLOCK_MONOTONIC);
    if (failures > MAX_FAILURES) break;
    if (!measuring && now - start >= warmup * 1e9) {
      measuring = 1, before = answers, from = now;
      load_cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID), server_cpu = server_ns();
    }
    if (measuring && (now - from >= seconds * 1e9 || (most && answers - before >= most))) break;
  }
  double wall = (now - from) / 1e9, load = (clock_ns(CLOCK_PROCESS_CPUTIME_ID) - load_cpu) / 1e6;
  double served = (server_ns() - server_cpu) / 1e6;
  long done = answers - before;
  qsort(latencies, measured, sizeof *latencies, by_size);
  printf("{\"answers\":%ld,\"seconds\":%.4f,\"rate\":%.1f,\"p50\":%.3f,\"p95\":%.3f,\"p99\":%.3f,"
         "\"cpu\":%.4f,\"load_cpu\":%.4f,\"busy\":%.3f,\"load_busy\":%.3f,\"failures\":%ld,"
         "\"full\":%ld,\"resumed\":%ld,\"protocol\":\"%s\",\"cipher\":\"%s\",\"group\":\"%s\"}\n",
         done, wall, done / wall, percentile(.5), percentile(.95), percentile(.99), done ? served / done : 0,
         done ? load / done : 0, served / wall / 1e3, load / wall / 1e3, failures, full_handshakes,
         resumed_handshakes, protocol, cipher, group);
  return failures ? 1 : 0;
}
