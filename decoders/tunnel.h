/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encapsulations above the link: MPLS, and what IP and UDP carry.
 *
 * As with links, a decoder turns a layer that begins with its header into the
 * next one. UDP payload that does not look like the tunnel of its port becomes
 * LAYER_OTHER: the port alone proves nothing.
 */
#ifndef DECODERS_TUNNEL_H
#define DECODERS_TUNNEL_H

#include "decoders/link.h"

/*
 * A label stack (RFC 3032) and, as nothing says what is below it, a guess:
 * IPv4, IPv6, or an Ethernet pseudowire with or without control word (RFC 4448).
 */
enum parse_result tunnel_mpls(struct layer *layer);

/*
 * GRE (RFC 2784, 2890), with the routing of RFC 1701; PPTP's (RFC 2637); in them
 * IP, Ethernet, MPLS, PPP, WCCP redirection, ERSPAN I, II and III.
 */
enum parse_result tunnel_gre(struct layer *layer, struct vlan_ids *vlan);

/* EtherIP, RFC 3378. */
enum parse_result tunnel_etherip(struct layer *layer);

/*
 * What a UDP payload is by its destination port: VXLAN (RFC 7348; ports 4789 and
 * 8472), VXLAN-GPE, GENEVE (RFC 8926), MPLS (RFC 7510), GTP-U (3GPP TS 29.281),
 * TZSP, or LAYER_OTHER.
 */
enum parse_result tunnel_udp(struct layer *layer, uint16_t dst_port, struct vlan_ids *vlan);

#endif
