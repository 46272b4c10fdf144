#!/bin/sh
# Takes an edge's device out of the account: thing and certificates, which the installer made and which are in no stack.
#
#   deploy/close_edge.sh THING...
#
# As long as a certificate holds their policies, the edge's stack and the fleet's cannot be deleted. Scans, role and
# queue are not touched. Where it was cut off, it may be run again.
set -eu

[ $# -gt 0 ] || { echo 'usage: deploy/close_edge.sh THING... (a thing is {stack}-{Name})' >&2; exit 2; }

for thing; do
    certificates=$(aws iot list-thing-principals --thing-name "$thing" --query principals --output text)
    for certificate in $certificates; do
        [ "$certificate" != None ] || continue
        policies=$(aws iot list-attached-policies --target "$certificate" --query 'policies[].policyName' --output text)
        for policy in $policies; do
            [ "$policy" = None ] || aws iot detach-policy --policy-name "$policy" --target "$certificate"
        done
        aws iot detach-thing-principal --thing-name "$thing" --principal "$certificate"
        # One certificate may have been given to several things: the last one takes it along.
        others=$(aws iot list-principal-things --principal "$certificate" --query things --output text)
        [ -z "$others" ] || [ "$others" = None ] || continue
        aws iot update-certificate --certificate-id "${certificate##*/}" --new-status INACTIVE
        aws iot delete-certificate --certificate-id "${certificate##*/}"
    done
    aws iot delete-thing --thing-name "$thing"
    echo "$thing is closed"
done
