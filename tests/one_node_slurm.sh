#!/usr/bin/env bash
# A real Slurm of one node on this machine, for tests of the Slurm engine. As root, on Debian:
#     apt-get update && apt-get install -y slurmd slurmctld slurm-client munge && bash tests/one_node_slurm.sh
# It ends with: scontrol shutdown; kill $(pidof munged)
set -euo pipefail
mkdir -p /etc/slurm /var/spool/slurmd /var/spool/slurmctld /run/munge
chown -R munge:munge /run/munge /etc/munge /var/log/munge /var/lib/munge
pidof munged >/dev/null || runuser -u munge -- /usr/sbin/munged
host=$(hostname -s)
grep -qw "$host" /etc/hosts || echo "127.0.0.1 $host" >> /etc/hosts
cat > /etc/slurm/slurm.conf <<CONF
ClusterName=one
SlurmctldHost=$host
SlurmUser=root
SlurmdUser=root
StateSaveLocation=/var/spool/slurmctld
SlurmdSpoolDir=/var/spool/slurmd
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
JobAcctGatherType=jobacct_gather/none
MailProg=/bin/true
NodeName=$host CPUs=$(nproc) RealMemory=${SLURM_MEMORY:-8000} State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
pidof slurmctld >/dev/null || slurmctld
pidof slurmd >/dev/null || slurmd
for _ in $(seq 20); do sinfo -h -o %T | grep -q idle && break; sleep 1; done
sinfo
