/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every cap of the program, with its reason. They enter the modules by their
 * constructors; whoever reaches one counts it.
 */
#ifndef SENSOR_LIMITS_H
#define SENSOR_LIMITS_H

#include "sensor/build_kind.h"

/* Configuration: a file is written by hand; more settings than this are a mistake. */
#define LIMIT_CONFIG_SETTINGS 4096

/*
 * Live capture. Interfaces in one process: each has a kernel buffer and a
 * descriptor of its own, and a span port delivers one or two.
 */
#define LIMIT_LIVE_INTERFACES 16
/*
 * Time after which the kernel hands over a block that is not full, ms, and the longest
 * wait for a packet: the latter is longer, so that a wait without a packet means that no
 * block was left behind. Timeouts of idle sessions are looked at in this rhythm.
 */
#define LIMIT_LIVE_BLOCK_MS 50
#define LIMIT_LIVE_WAIT_MS  150
/* After a signal to stop: what the kernel still holds of the time before is read within this. */
#define LIMIT_STOP_NS 2000000000LL
/* How long a packet waits for an earlier one of another interface: a block, and a scheduler. */
#define LIMIT_LIVE_MERGE_MS 100
/* How often a busy capture, or pipe, flushes outputs and tells what it counted. */
#define LIMIT_UPKEEP_NS 1000000000LL

/* Names of taps: the interfaces that a set of captures tells apart, and one for none. */
#define LIMIT_TAPS 4097

/*
 * Reading captures. A window that fits the second-level cache beats a large one, and where misuse
 * is looked for every capture has several; the rest keeps thousands of files and many workers
 * within bounds.
 */
#define LIMIT_CAPTURE_WINDOW     (FINDS_MISUSE ? 1024U : 256U << 10)
#define LIMIT_CAPTURE_WINDOWS    (4U << 20)
#define LIMIT_CAPTURE_IN_FLIGHT  16
#define LIMIT_CAPTURE_OPEN_FILES 64
#define LIMIT_CAPTURE_FILES      100000
#define LIMIT_CAPTURE_DEPTH      64
#define LIMIT_CAPTURE_INPUT      (64U << 10)
/* When a pipe brings nothing for this long, what was read until then is told to the end. */
#define LIMIT_CAPTURE_QUIET_MS 50
/* 128 MiB, what zstd itself takes for --long. */
#define LIMIT_CAPTURE_ZSTD_WINDOW_LOG 27

/*
 * From the reader to the workers. Packets of one worker in a batch: some hundred, so that
 * handing them over costs little of each. Batches under way: half of them last until a reader
 * that slept is up, some 400 us, and with the windows they hold they take little memory, also
 * where few packets of a window are followed. A
 * merge of many files may have packets of one batch in as many windows; copies are what
 * reassembled datagrams take. Where misuse is looked for, small captures have several, too.
 */
#define LIMIT_BATCH_PACKETS (FINDS_MISUSE ? 16U : 256U)
#define LIMIT_BATCHES       8
#define LIMIT_BATCH_WINDOWS 64
#define LIMIT_BATCH_BYTES   (1024U << 10) /* of the windows */
#define LIMIT_BATCH_COPIES  (256U << 10)
/* Connections, 192 bytes each, that are in a cache: a lone worker need not fetch them ahead. */
#define LIMIT_NEAR_FLOWS 8192
/*
 * From a worker to the judge, without evidence: what it tells while others catch up. It
 * is this large at least; twice the largest observation has to fit.
 */
#define LIMIT_OBSERVATIONS (FINDS_MISUSE ? 128U << 10 : 256U << 10)

/* All buffers of one worker: a million connections and their dialogues. */
#define LIMIT_WORKER_MEMORY (1ULL << 30)
/*
 * Of that, one part in so many is for sessions that are taken up again, a kilobyte each: when a
 * connection has to make room, its session takes some before it gives back more.
 */
#define LIMIT_WAKE_PART 1024
/* Connections of one worker at once. */
#define LIMIT_FLOWS 1000000
/* RFC 5321 4.5.3.2: the longest wait of a client is 10 minutes; an hour is idle for good. */
#define LIMIT_IDLE_NS (3600LL * 1000000000)
/* Without payload: a handshake that was never finished, or a scan. */
#define LIMIT_HALF_OPEN_NS (300LL * 1000000000)
/* Of a connection that was set aside: what stands farther from it is none of its segments. */
#define LIMIT_ASIDE_BYTES (UINT32_C(1) << 24)

/*
 * Timeouts are looked at when the common clock enters another beat: often enough for holds of
 * a second, seldom enough that every worker can be told of each. Divides a second.
 */
#define LIMIT_BEAT_NS 100000000LL

/* TCP. Bytes of one side beyond a hole: a window that a fast path has in flight. */
#define LIMIT_OUT_OF_ORDER (1U << 20)
/* Bytes held of one side so that no reply comes before its command. */
#define LIMIT_HELD (256U << 10)
/* Pieces that these may be in: a flood of one-byte segments ends here. */
#define LIMIT_CHUNKS 512
/* A hole that the peer acknowledged is a gap after as many further segments, or this long. */
#define LIMIT_HOLD_SEGMENTS 16
#define LIMIT_HOLD_NS       1000000000LL
/* One that nobody acknowledged: longer than any retransmission timeout (RFC 6298 2.4). */
#define LIMIT_LOSS_NS (120LL * 1000000000)
/* Delivered bytes of one side that a retransmission is compared with. */
#define LIMIT_HISTORY (8U << 10)
/*
 * Of a worker's memory, one part in so many is for that, on all connections: a million at once
 * keep their sessions. What finds no room is not compared when it comes again.
 */
#define LIMIT_HISTORY_PART 16

/* Headers opened in one packet, tunnels in tunnels. */
#define LIMIT_LAYERS 16
/* Incomplete datagrams: 30 s is what RFC 1122 3.3.2 and Linux wait. */
#define LIMIT_FRAGMENTED      1024
#define LIMIT_FRAGMENT_BYTES  (8U << 20)
#define LIMIT_FRAGMENT_AGE_NS (30LL * 1000000000)
/* All of that, with the table of datagrams and the holes in them. */
#define LIMIT_INTAKE_MEMORY (4 * LIMIT_FRAGMENT_BYTES)

/*
 * Of each size that a session takes and gives back, a worker keeps so many blocks for the next
 * one: 1 MiB in all at most.
 */
#define LIMIT_KEPT_BLOCKS 32

/* The redacted dialogues of a part of the connections, 2 MB of all: some 20,000 lines. */
#define LIMIT_DIALOGUE_RING (32U << 10)
/* Redacted packets of one alert. */
#define LIMIT_EVIDENCE_OUT (256U << 10)
/* Distinct certificates of one worker; a large provider's peers show some thousands. */
#define LIMIT_CERTIFICATES 4096
/* JA3 and JA3S strings of one worker whose MD5 is remembered: mail software has some dozens. */
#define LIMIT_JA3_TEXTS 128
#define LIMIT_JA3_TEXT  384 /* bytes of one; few are longer */

/* By which the heap grows, as addresses (heap.h): where two steps meet, pages are small. */
#define LIMIT_HEAP_STEP (64U << 20)
/* Packets after which it is looked at again: they take some megabytes at most. */
#define LIMIT_HEAP_PACKETS 1024U

/* What the judge keeps: open sessions that raised something, windows of suppression. */
#define LIMIT_JUDGE_MEMORY (256U << 20)
/* What is remembered of the network: servers, failed upgrades, open sessions, client networks. */
#define LIMIT_HISTORY_SERVERS  65536
#define LIMIT_HISTORY_FAILURES 65536
#define LIMIT_HISTORY_SESSIONS 65536
#define LIMIT_HISTORY_PATHS    16384
/* What DNS answers said: some 30 MB when all is full. A large sender talks to fewer hosts a day. */
#define LIMIT_DNS_ADDRESSES   16384
#define LIMIT_DNS_HOSTS       16384
#define LIMIT_DNS_DOMAINS     32768
#define LIMIT_HISTORY_CLIENTS 65536 /* that exposed credentials: a bad network has some hundred */
/* Servers and clients in the file: those unseen for longest go first. About 400 bytes each. */
#define LIMIT_BASELINE_SERVERS 1000000
#define LIMIT_BASELINE_CLIENTS 1000000
/* What two taps saw is told this long after both sides; so many wait, further ones leave at once.
 */
#define LIMIT_TAPS_SETTLE_NS 5000000000LL
#define LIMIT_DEFERRED       1024
/* Servers that wait to be shared, in each direction: some 2 MB. */
#define LIMIT_BASELINE_QUEUE 2048
/* Between two exchanges of the baseline with Redis: how late another sensor learns of it. */
#define LIMIT_BASELINE_EXCHANGE_MS 5000
/* Replay waits so long for what other sensors know. */
#define LIMIT_BASELINE_WAIT_MS 10000
/* Between two saves of the baseline: what kill -9 may cost. */
#define LIMIT_BASELINE_SAVE_NS 5000000000LL
/* Open keys of suppression; further ones push out the oldest, whose summary then leaves. */
#define LIMIT_THROTTLE_KEYS 65536
/* Servers and clients that the summary tells apart, and rows that it shows of each. */
#define LIMIT_SUMMARY_HOSTS 100000
#define LIMIT_SUMMARY_ROWS  20
/* One document: a session record with 16 domains and 48 lines of dialogue stays far below. */
#define LIMIT_DOCUMENT (256U << 10)
/* Output gathered before a write, replay only. */
#define LIMIT_OUTPUT_BUFFER (64U << 10)

/* Longest frame that a filter is compiled for: what libpcap calls MAXIMUM_SNAPLEN. */
#define LIMIT_FRAME 262144
/* Link types in one input, each with a compiled filter: those that are read, and room. */
#define LIMIT_FILTER_LINK_TYPES 32

/*
 * Evidence of one alert: packets (a dialogue up to the upgrade takes about 20), bytes of
 * headers in one (tunnels in tunnels included), bytes of payload kept of one (a
 * segment on Ethernet, or more when the card has put segments together).
 */
#define LIMIT_EVIDENCE_PACKETS 64
#define LIMIT_EVIDENCE_HEADERS 1024
#define LIMIT_EVIDENCE_PAYLOAD 4096
/*
 * Of all workers together, but of two each: some thousand packets, so that a session's are there
 * when it ends.
 */
#define LIMIT_EVIDENCE_RING (8 * 1024 * 1024)
/* What one alert's packets may take with their headers. */
#define LIMIT_EVIDENCE_BYTES (64 * 1024)

/* The rule catalogue as JSON, with the buffer's growth: about 12 KiB, and room. */
#define LIMIT_CATALOGUE (256 * 1024)

/* Outbox. Alerts that wait for the disk: some 10,000, seconds of the worst flood. */
#define LIMIT_OUTBOX_QUEUE (16U << 20)
/* On disk: about a million alerts, days of Redis being away. */
#define LIMIT_OUTBOX_BYTES    (1ULL << 30)
#define LIMIT_OUTBOX_SEGMENT  (4ULL << 20)
#define LIMIT_OUTBOX_SEGMENTS 4096
/* One alert with its evidence: a document at its cap and the fields around it. */
#define LIMIT_OUTBOX_RECORD (LIMIT_DOCUMENT + (4U << 10))
#define LIMIT_DEAD_LETTERS  (16ULL << 20)
/* A month-old alert is archaeology, not an alert. */
#define LIMIT_OUTBOX_AGE_S   (30LL * 86400)
#define LIMIT_OUTBOX_SYNC_MS 100
/* Replay waits this long for room, once, before it takes Redis for gone. */
#define LIMIT_OUTBOX_WAIT_MS 10000

/* Redis. Beyond these a connection is taken for dead; the outbox keeps what was under way. */
#define LIMIT_REDIS_CONNECT_MS 3000
#define LIMIT_REDIS_COMMAND_MS 5000
/* One WAIT; it is repeated for as long as replicas lag. */
#define LIMIT_REDIS_WAIT_MS 1000
#define LIMIT_REDIS_REPLY   (32U << 20)
/* A cluster has up to 1000 nodes by its specification. */
#define LIMIT_REDIS_NODES 1024
/* Alerts in one transaction: more gains little, and Redis serves nobody else meanwhile. */
#define LIMIT_REDIS_BATCH       128
#define LIMIT_REDIS_BATCH_BYTES (1U << 20)
#define LIMIT_REDIS_SESSIONS    (16U << 20)
/* Pauses after failures double from the first to the second, half of each by chance. */
#define LIMIT_REDIS_PAUSE_MIN_MS 200
#define LIMIT_REDIS_PAUSE_MAX_MS 30000
#define LIMIT_REDIS_HEARTBEAT_S  10
/* At the end: for what Redis has not taken yet. systemd kills after 90 s. */
#define LIMIT_REDIS_DRAIN_MS 10000

/* Syslog: alerts that wait for the daemon, some 4,000; the waits of replay, and at the end. */
#define LIMIT_SYSLOG_QUEUE    (4U << 20)
#define LIMIT_SYSLOG_WAIT_MS  10000
#define LIMIT_SYSLOG_DRAIN_MS 2000

/* The HTML report: alerts told one by one, hosts told apart, inputs listed, its memory, its page.
 */
#define LIMIT_REPORT_ALERTS 2000
#define LIMIT_REPORT_HOSTS  16384
#define LIMIT_REPORT_INPUTS 4096
#define LIMIT_REPORT_PAGE   (32U << 20)
#define LIMIT_REPORT_MEMORY (128U << 20)

/* A line of tail: a document at its cap with every character escaped. */
#define LIMIT_TAIL_LINE (6 * LIMIT_DOCUMENT)

/* A line in the log; longer ones are cut. The journal's own default is 48 KiB. */
#define LIMIT_LOG_LINE 1024

#endif
