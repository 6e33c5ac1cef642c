/* SPDX-License-Identifier: Apache-2.0 */
/* Reassembly, case by case: strips (film.h), each from several initial sequence numbers. */
#include "tests/support/film.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

struct strip {
	const char *name, *rows, *expected;
};

static const struct strip strips[] = {
    {"in order",
     FILM_HANDSHAKE "s A 1 1 220\nc A 1 4 EHLO\ns A 4 5 250\nc FA 5 7\ns FA 7 6\nc A 6 8\n",
     "s:220 c:EHLO s:250 c.fin s.fin"},
    {"every segment twice",
     "c S 0 -\nc S 0 -\ns SA 0 1\ns SA 0 1\nc A 1 1\nc A 1 1\ns A 1 1 220\ns A 1 1 220\n"
     "c A 1 4 EHLO\nc A 1 4 EHLO\nc FA 5 4\nc FA 5 4\n",
     "s:220 c:EHLO c.fin"},
    {"data with FIN", FILM_HANDSHAKE "s A 1 1 220\nc FA 1 4 QUIT\n", "s:220 c:QUIT c.fin"},
    {"FIN before its data", FILM_HANDSHAKE "c FA 5 1\nc A 1 1 QUIT\n", "c:QUIT c.fin"},
    {"SYN with data", "c S 0 - EHLO\ns SA 0 1\nc A 1 1 EHLO\nc A 5 1 MAIL\n", "c:EHLO c:MAIL"},
    {"simultaneous open", "c S 0 -\ns S 0 -\nc SA 0 1\ns SA 0 1\nc A 1 1 a\ns A 1 2 b\n",
     "c:a s:b"},
    {"swapped in one side", FILM_HANDSHAKE "s A 4 1 250\ns A 1 1 220\n", "s:220 s:250"},
    {"three in reverse", FILM_HANDSHAKE "s A 7 1 ghi\ns A 4 1 def\ns A 1 1 abc\n",
     "s:abc s:def s:ghi"},
    /* causal order */
    {"reply before its command", FILM_HANDSHAKE "s A 1 5 250\nc A 1 1 EHLO\n", "c:EHLO s:250"},
    {"two deep", FILM_HANDSHAKE "c A 5 4 MAIL\ns A 1 5 250\nc A 1 1 EHLO\n", "c:EHLO s:250 c:MAIL"},
    {"FIN waits for what it acknowledged", FILM_HANDSHAKE "c FA 1 4\ns A 1 1 221\n", "s:221 c.fin"},
    {"lost, told by the next ack",
     FILM_HANDSHAKE "s A 1 1 220\nc A 1 10 EHLO\ns A 10 5 x\nc A 5 11\ns A 11 5 y\nc A 5 12\n",
     "s:220 s~6 c:EHLO s:x s:y"},
    {"lost, told by time", FILM_HANDSHAKE "s A 1 1 220\nc A 1 10 EHLO\ntick 999\ntick 2\n",
     "s:220 s~6 c:EHLO"},
    {"lost, the tick never came",
     FILM_HANDSHAKE "s A 1 1 220\nc A 1 10 EHLO\nwait 1001\nc A 5 10 X\n", "s:220 s~6 c:EHLO c:X"},
    {"lost, the end comes", FILM_HANDSHAKE "s A 1 1 220\nc A 1 10 EHLO\nfinish\n",
     "s:220 s~6 c:EHLO"},
    {"filled within the hold",
     FILM_HANDSHAKE "s A 1 1 220\nc A 1 10 EHLO\ns A 7 1 def\ns A 4 1 abc\n",
     "s:220 s:abc s:def c:EHLO"},
    {"a hole that nobody acknowledged waits",
     FILM_HANDSHAKE
     "c A 4 1 def\nc A 7 1 ghi\nc A 10 1 j\nc A 11 1 k\nc A 12 1 l\nc A 13 1 m\nc A 1 1 abc\n",
     "c:abc c:def c:ghi c:j c:k c:l c:m"},
    {"lost bytes with more behind them",
     FILM_HANDSHAKE "c A 4 1 def\ns A 1 7 x\ns A 2 7 y\ns A 3 7 z\ns A 4 7 u\ns A 5 7 v\n",
     "c~3 c:def s:x s:y s:z s:u s:v"},
    {"both lose", FILM_HANDSHAKE "c A 5 9 MAIL\ns A 9 9 ok\nfinish\n", "s~8 c~4 c:MAIL s:ok"},
    {"an unseen FIN is no gap", FILM_HANDSHAKE "c A 1 1 QUIT\ns FA 1 6\nc A 6 2\nfinish\n",
     "c:QUIT s.fin"},
    {"one lost byte with data behind it is",
     FILM_HANDSHAKE "c A 1 1 abc\ns A 1 5 x\ntick 1500\nc A 5 2 def\n", "c:abc s:x c~1 c:def"},
    {"a FIN that is late", FILM_HANDSHAKE "c A 1 1 abc\ns A 1 5 x\ntick 1500\nc FA 4 1\n",
     "c:abc s:x c.fin"},
    /* acknowledgements that are no guide */
    {"all acks zero", "c A 1 - aa\ns A 1 - bb\nc A 3 - c\ns A 3 - d\n", "c:aa s:bb c:c s:d"},
    {"acks that never were exact", "c A 1 900 aa\ns A 1 900 bb\nc A 3 900 c\ns A 3 900 d\n",
     "c:aa s:bb c:c s:d"},
    {"off by one", FILM_HANDSHAKE "c A 1 2 a\ns A 1 3 b\nc A 2 3 c\ns A 2 4 d\n",
     "c:a s:b c:c s:d"},
    {"far ahead, and the bytes come after all",
     FILM_HANDSHAKE "c A 1 9000 a\ntick 1500\ns A 1 2 b\nc A 2 9000 c\ns A 2 2 d\n",
     "s~8999 c:a s:b c:c s:d"},
    {"more than a window ahead", FILM_HANDSHAKE "c A 1 2000000000 a\ns A 1 2 b\n", "c:a s:b"},
    /* one direction, midstream */
    {"client alone", "c S 0 -\nc A 1 1\nc A 1 40 EHLO\nc A 5 90 MAIL\nc FA 9 99\n",
     "c:EHLO c:MAIL c.fin"},
    {"server alone", "s SA 0 1\ns A 1 1 220\ns A 4 7 250\ns FA 7 9\n", "s:220 s:250 s.fin"},
    {"midstream", "c A 100 200 MAIL\ns A 200 104 250\nc A 104 203 RCPT\n", "c:MAIL s:250 c:RCPT"},
    {"midstream, out of order", "s A 203 100 def\nc A 100 203 X\ns A 206 101 ghi\n",
     "s:def c:X s:ghi"},
    {"midstream, the ack tells the start",
     "c A 100 200\ns A 203 100 def\ns A 200 100 abc\nc A 100 206 X\n", "s:abc s:def c:X"},
    {"keep-alive first", "c A 99 200\ns A 200 100\nc A 100 200 X\n", "c:X"},
    {"keep-alive of garbage first", "c A 99 200 G\ns A 200 100\nc A 100 200 X\n", "c:X"},
    {"... twice, and nothing answers", "c A 99 200 G\nc A 99 200 G\nc A 100 200 X\nc A 101 200 Y\n",
     "c:X c:Y"},
    {"... behind an ACK", "c A 100 200\nc A 99 200 G\nc A 100 200 X\n", "c:X"},
    {"a side picked up byte by byte", "c A 99 200 G\nc A 100 200 X\nc A 101 200 Y\n", "c:X c:Y"},
    {"one byte that the peer waited for", "s A 200 99\nc A 99 200 X\nc A 100 200 Y\n", "c:X c:Y"},
    {"greeting lost with the SYN-ACK",
     "c S 0 -\nc A 1 1\nc A 1 21 EHLO\ns A 21 5 250\n"
     "c A 5 24\nc A 5 24\nc A 5 24\nc A 5 24\n",
     "c:EHLO s~20 s:250"},
    {"one side, a loss", "c S 0 -\nc A 1 1 abc\nc A 7 1 ghi\ntick 59000\ntick 1100\n",
     "c:abc c~3 c:ghi"},
    /* retransmissions */
    {"identical", FILM_HANDSHAKE "c A 1 1 abcdef\nc A 1 1 abc\nc A 3 1 cdefgh\n", "c:abcdef c:gh"},
    {"said by nothing but where it stands", FILM_HANDSHAKE "c A 1 1 abc\nc A 9 1\nfinish\n",
     "c:abc c~5"},
    {"the same, and it was only late",
     FILM_HANDSHAKE "c A 9 1\nc A 1 1 abc\nc A 4 1 defgh\nfinish\n", "c:abc c:defgh"},
    {"first acknowledgement ahead of the handshake's",
     "c S 0 -\ns SA 0 1\nc A 1 5 EHLO\ns A 5 5 250\nfinish\n", "s~4 c:EHLO s:250"},
    {"different", FILM_HANDSHAKE "c A 1 1 abcdef\nc A 1 1 abXYef\n", "c:abcdef c!XY@2"},
    {"different, with more", FILM_HANDSHAKE "c A 1 1 abc\nc A 1 1 abXde\n", "c:abc c!X@2 c:de"},
    {"different while it waits", FILM_HANDSHAKE "c A 4 1 def\nc A 4 1 dEf\nc A 1 1 abc\n",
     "c!E@4 c:abc c:def"},
    {"overlap in front", FILM_HANDSHAKE "c A 3 1 cde\nc A 1 1 abC\n", "c:ab c:cde c!C@2"},
    {"overlap behind", FILM_HANDSHAKE "c A 3 1 cde\nc A 5 1 Efg\nc A 1 1 ab\n",
     "c!E@4 c:ab c:cde c:fg"},
    {"overlap around", FILM_HANDSHAKE "c A 3 1 cd\nc A 2 1 bCDe\nc A 1 1 a\n",
     "c!CD@2 c:a c:b c:cd c:e"},
    {"overlap within", FILM_HANDSHAKE "c A 2 1 bcde\nc A 3 1 Cd\nc A 1 1 a\n", "c!C@2 c:a c:bcde"},
    {"overlap of several", FILM_HANDSHAKE "c A 2 1 b\nc A 4 1 d\nc A 6 1 f\nc A 1 1 aBcDeF\n",
     "c:a c:b c!B@1 c:c c:d c!D@3 c:e c:f c!F@5"},
    {"no comparison in TLS", FILM_HANDSHAKE "history c off\nc A 1 1 abcdef\nc A 1 1 abXYef\n",
     "c:abcdef"},
    {"no comparison in a skip",
     FILM_HANDSHAKE "skip c 6\nc A 1 1 abcdef\nc A 1 1 abXYef\nc A 7 1 g\n", "c:g"},
    {"keep-alives", FILM_HANDSHAKE "c A 1 1 abc\nc A 3 1\nc A 3 1 X\ns A 1 4\ns A 0 4 Y\ns A 0 4\n",
     "c:abc"},
    {"a keep-alive behind a loss",
     FILM_HANDSHAKE "s A 1 1 220\ns A 4 8\nc A 7 4 G\ns A 4 8 250\ntick 1500\nc A 8 7 DATA\n",
     "s:220 c~7 s:250 c:DATA"},
    {"... that was only late", FILM_HANDSHAKE "s A 1 8\nc A 7 1 G\nc A 1 1 abcdefg\nc A 8 1 h\n",
     "c:abcdef c:g c:h"},
    {"... and one byte that was only late", FILM_HANDSHAKE "s A 1 3\nc A 2 1 b\nc A 1 1 a\n",
     "c:a c:b"},
    {"one byte behind a loss that nobody has yet acknowledged",
     FILM_HANDSHAKE "s A 1 8\nc A 8 1 h\ns A 1 9 250\ntick 1500\n", "c~7 c:h s:250"},
    {"a retransmission of two bytes is no keep-alive", FILM_HANDSHAKE "c A 1 1 abc\nc A 2 1 XY\n",
     "c:abc c!XY@1"},
    {"data behind the FIN", FILM_HANDSHAKE "c A 1 1 abc\nc FA 4 1\nc A 4 1 MAIL\nc A 3 1 cX\n",
     "c:abc c.fin c!MAIL@3 c:MAIL c!X@3"},
    /* cut by the capture */
    {"snaplen", FILM_HANDSHAKE "c A 1 1 abc wire=10\nc A 11 1 z\n", "c:abc c~7 c:z"},
    {"snaplen, out of order", FILM_HANDSHAKE "c A 4 1 d wire=3\nc A 1 1 abc\nc A 7 1 g\n",
     "c:abc c:d c~2 c:g"},
    {"snaplen in a skip", FILM_HANDSHAKE "skip c 10\nc A 1 1 abc wire=10\nc A 11 1 z\n", "c:z"},
    /* skip */
    {"skip", FILM_HANDSHAKE "skip c 5\nc A 1 1 abcd\nc A 5 1 efg\n", "c:fg"},
    {"reordered in a skip", FILM_HANDSHAKE "skip c 5\nc A 4 1 defg\nc A 1 1 abc\n", "c:fg"},
    {"lost in a skip", FILM_HANDSHAKE "skip c all\nc A 1 1 abc\nc A 7 1 ghi\ns A 1 10\ntick 1500\n",
     "c~3s"},
    {"lost across the end of a skip",
     FILM_HANDSHAKE "skip c 5\nc A 1 1 abc\nc A 9 1 ij\ns A 1 11\ntick 1500\n", "c~5 c:ij"},
    {"nothing waits for skipped bytes", FILM_HANDSHAKE "skip c all\ns A 1 50 250\nc A 1 4 X\n",
     "s:250"},
    {"the tail of a skip was lost", FILM_HANDSHAKE "skip c all\ns A 1 50 250\nfinish\n",
     "s:250 c~49s"},
    /* resets */
    {"reset", FILM_HANDSHAKE "c A 1 1 abc\ns R 1 -\n", "c:abc s.rst"},
    {"refused", "c S 0 -\ns RA -50000 1\n", "s.rst"},
    {"reset with a wrong number", FILM_HANDSHAKE "c R 500000 -\nc R -400 -\nc A 1 1 abc\n",
     "c:abc"},
    {"reset in the window, the sender goes on",
     FILM_HANDSHAKE "c R 50 -\nc A 1 1 abc\nc A 4 1 "
		    "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz\nfinish\n",
     "c:abc c:abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"},
    {"reset in the window, the sender is silent", FILM_HANDSHAKE "c R 50 -\nfinish\n",
     "c~49 c.rst"},
    {"reset before its data", FILM_HANDSHAKE "c R 4 -\nc A 1 1 abc\n", "c:abc c.rst"},
    {"reset in the window, the sender goes on a little",
     FILM_HANDSHAKE "c R 50 -\nc A 1 1 abc\nc FA 4 1\nfinish\n", "c:abc c.fin"},
    {"a forged FIN does not make deaf", FILM_HANDSHAKE "c FA 1 1\nc A 1 1 abc\nc FA 4 1\n",
     "c.fin c!abc@0 c:abc c.fin"},
    {"an acknowledgement ahead that its side takes back",
     FILM_HANDSHAKE "s A 1 500\nc A 1 1 abc\ns A 1 4 250\nc A 4 4 MAIL\ntick 2000\nfinish\n",
     "c:abc s:250 c:MAIL"},
    {"... the older segment came later: nothing is taken back",
     FILM_HANDSHAKE "s A 4 4\ns A 1 1 250\nc A 4 4 MAIL\ntick 2000\n", "s:250 c~3 c:MAIL"},
    {"a SYN-ACK that answers no SYN of this connection",
     "c S 0 -\ns SA 0 1\nc A 1 1\ns SA 9000 700\ns A 1 1 220\n", "s:220"},
    {"data after a reset goes on", FILM_HANDSHAKE "c R 1 -\nc A 1 1 abc\n", "c.rst c:abc"},
    /* another connection */
    {"port reuse after FIN", FILM_HANDSHAKE "c FA 1 1\ns FA 1 2\nc S 70000 -\n", "c.fin s.fin new"},
    {"port reuse after RST", FILM_HANDSHAKE "s R 1 -\nc S 70000 -\n", "s.rst new"},
    {"a SYN alone ends nothing", FILM_HANDSHAKE "c A 1 1 abc\nc S 70000 -\nc A 4 1 def\n",
     "c:abc c:def"},
    {"a SYN that is answered does", FILM_HANDSHAKE "c A 1 1 abc\nc S 70000 -\ns SA 90000 70001\n",
     "c:abc new"},
    {"a SYN in a one-sided capture does", "c S 0 -\nc A 1 1 abc\nc S 70000 -\n", "c:abc new"},
    {"... or a SYN-ACK", "s SA 0 1\ns A 1 1 220\ns SA 0 1\ns SA 70000 1\n", "s:220 new"},
    {"data far behind the FIN, of a side whose peer is not seen",
     "c S 0 -\nc A 1 1 abc\nc FA 4 1\nc A 900000 7000\nc A 900000 7000 abc\nfinish\n",
     "c:abc c.fin new"},
    {"... near it", "c S 0 -\nc A 1 1 abc\nc FA 4 1\nc A 3000 1 abc\n", "c:abc c.fin c!abc@2999"},
    {"... or of one whose peer was seen, once it goes on there",
     FILM_HANDSHAKE "c FA 1 1\nc A 9000000 7000 a\nc A 9000001 7000 b\nc A 9000002 7000 c\n"
		    "c A 9000003 7000 d\n",
     "c.fin new"},
    {"another attempt with another number",
     "c S 0 -\nc S 70000 -\ns SA 0 70001\n"
     "c A 70001 1 abc\n",
     "c:abc"},
    /* two SYNs before anything was said */
    {"... whose answer was not seen", "c S 0 -\nc S 70000 -\nc A 1 1 EHLO\ns A 1 5 250\n",
     "c:EHLO s:250"},
    {"a SYN that the server did not take",
     "c S 0 -\nc S 70000 -\ns SA 0 1\nc A 1 1\ns A 1 1 220\nc A 1 4 EHLO\n", "s:220 c:EHLO"},
    {"... far off, and repeated",
     "c S 0 -\nc S 900000000 -\nc S 0 -\nc S 900000000 -\ns SA 0 1\nc A 1 1 EHLO\n", "c:EHLO"},
    {"... answered by the first ACK alone", "c S 0 -\nc S -5000 -\ns A 1 1 220\nc A 1 4 EHLO\n",
     "s:220 c:EHLO"},
    {"two that the server did not take",
     "c S 0 -\nc S 70000 -\nc S 900000000 -\ns SA 0 1\nc A 1 1\ns A 1 1 220\nc A 1 4 EHLO\n",
     "s:220 c:EHLO"},
    {"one before and one behind the true SYN are told as a loss",
     "c S 70000 -\nc S 0 -\nc S 900000000 -\ns SA 0 1\nc A 1 1\ns A 1 1 220\nc A 1 4 EHLO\n",
     "s:220 c~0 c:EHLO"},
    {"each of two SYNs is answered", "c S 0 -\nc S 70000 -\ns SA 90000 70001\ns SA 0 1\n", "new"},
    {"a SYN-ACK behind the handshake",
     FILM_HANDSHAKE "s SA 900000 1\ns A 1 1 220\nc A 1 4 EHLO\ns A 4 5 250\n",
     "s:220 c:EHLO s:250"},
    {"a SYN-ACK that the client did not take",
     "c S 0 -\ns SA 0 1\ns SA 900000 1\nc A 1 1\ns A 1 1 220\nc A 1 4 EHLO\n", "s:220 c:EHLO"},
    {"... and acknowledges what was not said, twice",
     "c S 0 -\ns SA 0 1\ns SA 900000 1\ns A 900001 500\ns SA 0 1\nc A 1 1 EHLO\nfinish\n",
     "c:EHLO"},
    {"... and its ACK", FILM_HANDSHAKE "s SA 900000 1\nc A 1 900001\ns A 1 1 220\nc A 1 4 EHLO\n",
     "s:220 c:EHLO"},
    {"... before the client's own",
     "c S 0 -\ns SA 0 1\ns SA 900000 1\nc A 1 900001\nc A 1 1\ns A 1 1 220\nc A 1 4 EHLO\n",
     "s:220 c:EHLO"},
    {"each of two SYNs speaks",
     "c S 0 -\nc S 900000 -\nc A 900001 1 EHLO\ns SA 0 1\nc A 1 1 MAIL\n", "c:EHLO new"},
    {"... where the other may as well go on",
     "c S 0 -\nc S -9 -\nc A -8 1 abcdefgh\nc A 0 1 x\nc A 1 1 MAIL\n", "c:abcdefgh c:x c:MAIL"},
    {"all is said before what was taken for its SYN",
     "c S 70000 -\ns SA 0 70001\nc A 70001 1\nc A 1 1 a\nc A 2 1 b\nc A 3 1 c\nc A 4 1 d\n",
     "c~0 c:d"},
    /* far away */
    {"a stray far ahead", FILM_HANDSHAKE "c A 1 1 abc\nc A 9000000 1 X\nc A 4 1 def\n",
     "c:abc c:def"},
    {"a long loss in a one-sided capture",
     "c S 0 -\nc A 1 1 abc\nc A 9000000 1 a\nc A 9000001 1 b\nfinish\n", "c:abc c~8999996 c:a c:b"},
    {"a long loss",
     FILM_HANDSHAKE "c A 1 1 abc\nc A 9000000 1 a\nc A 9000001 1 b\nc A 9000002 1 c\n"
		    "c A 9000003 1 d\nc A 9000004 1 e\n",
     "c:abc c~8999999 c:d c:e"},
};

Test(stream_strips, all)
{
	struct film *f = malloc(sizeof(*f));
	for (size_t i = 0; i < sizeof(strips) / sizeof(strips[0]); i++) {
		for (size_t b = 0; b < FILM_BASES; b++) {
			/* relative to a base: the one strip that needs an absolute 0 */
			uint32_t server =
			    strcmp(strips[i].name, "refused") == 0 ? 50000 : film_bases[b][1];
			for (int fast = 0; fast < 2; fast++) {
				film_init(f, film_bases[b][0], server, 1 << 20);
				f->use_fast = fast != 0;
				film_run(f, strips[i].rows);
				cr_expect_str_eq(f->out, strips[i].expected,
						 "%s (base %zu, fast %d): %s", strips[i].name, b,
						 fast, f->out);
				cr_assert_eq(film_end(f), 0);
			}
		}
	}
	free(f);
}
