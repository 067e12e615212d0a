# mutants.pl
#	  The bugs that the fault loop has to find, as replacements in the source.
#
#	mutants.pl --list			names, and what each breaks
#	mutants.pl --names
#	mutants.pl --options NAME	options for conduct.pl: the faults that find it
#	mutants.pl NAME DIR			break the source tree in DIR
#
# A text to be replaced must be there exactly once: one that is not is an
# error, and to be adapted to the source.  Some races are widened by a pause, to
# be found within minutes.  Options only select faults and themes; all checks
# are always made.

use strict;
use warnings;

# What makes pushes fail while Redis keeps its data and its identity.  With
# asynchronous transactions the watermark moves all the time, and with prepared
# ones it hardly does.
my $failing = '--only redis_client_kill,backend_cancel,backend_terminate,'
  . 'redis_stop --themes mixed --gap 0.3 --kinds async --mix 100';

my @mutants = (
	{
		name => 'no_fence',
		about => 'the fence refuses nothing as older (R4)',
		options => '--themes pg --only checkpoint',
		edits => [ [ 'src/redis/apply.lua', 'if rec and rec >= pushed and not mend then',
				'if false then' ] ]
	},
	{
		name => 'late_push_stored',
		about => 'a push created before the fence was lost is stored (R9)',
		options => '--themes mixed --gap 0.3'
		  . ' --only redis_no_fence,redis_script_flush,redis_client_kill',
		edits => [
			[ 'src/redis/apply.lua',
				'local keep = not isdel and created > floor and created <= now',
				'local keep = not isdel' ],
			[ 'src/push/push.c', "\tstatus = push_to_redis(push, deadline_us);",
				"\tif ((random() & 7) == 0)\n\t\tpg_usleep(300000);\n"
				  . "\tstatus = push_to_redis(push, deadline_us);" ]
		]
	},
	{
		name => 'mark_late',
		about => 'the in-flight mark is published after the message (R16)',
		options => $failing,
		edits => [
			[ 'src/txn/xact.c',
				"\t\twtc_inflight_publish(GetXLogInsertRecPtr());\n",
				"\t\tmark = GetXLogInsertRecPtr();\n" ],
			[ 'src/txn/xact.c', "static void\nmark_in_flight(void)\n{\n",
				"static XLogRecPtr mark;\n\nstatic void\nmark_in_flight(void)\n{\n" ],
			[ 'src/txn/xact.c',
				"\t(void) wtc_log_named_message(wtc_message_prefix(), message, len);\n",
				"\t(void) wtc_log_named_message(wtc_message_prefix(), message, len);\n"
				  . "\twtc_inflight_publish(mark);\n" ],
			[ 'src/txn/xact.c',
				"\t\t(void) wtc_log_message(wtc_message_prefix(), data, len);\n",
				"\t\t(void) wtc_log_message(wtc_message_prefix(), data, len);\n"
				  . "\t\twtc_inflight_publish(mark);\n" ],
			[ 'src/txn/xact.c',
				"\tlsn = wtc_log_message(wtc_message_prefix(), data, len);\n",
				"\tlsn = wtc_log_message(wtc_message_prefix(), data, len);\n"
				  . "\tif ((random() & 7) == 0)\n\t\tpg_usleep(20000);\n"
				  . "\twtc_inflight_publish(mark);\n" ]
		]
	},
	{
		name => 'mark_cleared_first',
		about => 'the mark is cleared before replay_from is lowered (R18)',
		options => $failing,
		edits => [ [ 'src/shared/shmem.c',
				"\tif (!pushed)\n\t{\n\t\tuint64\t\tseen",
				"\tpg_atomic_write_u64(&slot->inflight, InvalidXLogRecPtr);\n"
				  . "\tif (!pushed)\n\t\tpg_usleep(20000);\n"
				  . "\tif (!pushed)\n\t{\n\t\tuint64\t\tseen" ] ]
	},
	{
		name => 'replay_from_never_lowered',
		about => 'a failed push is not left to the worker',
		options => $failing,
		edits => [ [ 'src/shared/shmem.c',
				"\tif (!pushed)\n\t{\n\t\tuint64\t\tseen",
				"\tif (false)\n\t{\n\t\tuint64\t\tseen" ] ]
	},
	{
		name => 'marks_not_read',
		about => 'the watermark passes batches in flight (R17)',
		options => $failing,
		edits => [
			[ 'src/worker/watermark.c',
				"\tlsn = Min(lsn, wtc_inflight_min());\n", '' ],
			[ 'src/push/push.c', "\tstatus = push_to_redis(push, deadline_us);",
				"\tif ((random() & 15) == 0)\n\t\tpg_usleep(20000);\n"
				  . "\tstatus = push_to_redis(push, deadline_us);" ]
		]
	},
	{
		name => 'pushed_before_visible',
		about => 'the worker pushes what is committed and not yet visible (R8)',
		options => '--only sync_standby --themes mixed --gap 0.3',
		edits => [ [ 'src/worker/parked.c',
				"\tif (TransactionIdIsInProgress(xid))\n",
				"\tif (TransactionIdIsInProgress(xid) && !TransactionIdDidCommit(xid))\n" ] ]
	},
	{
		name => 'no_visible_wait',
		about => 'the worker does not ask whether a transaction is in progress',
		options => '--themes pg --only checkpoint',
		edits => [ [ 'src/worker/parked.c',
				"\tif (TransactionIdIsInProgress(xid))\n", "\tif (false)\n" ] ]
	},
	{
		name => 'no_parking',
		about => 'batches of transactions in progress are not kept (R20)',
		options => '--themes pg --only checkpoint',
		edits => [ [ 'src/worker/round.c',
				"\tif (fate == WTC_FATE_OPEN && !r->known)\n", "\tif (false)\n" ] ]
	},
	{
		name => 'invalidations_forgotten',
		about => 'the worker pushes images and invalidates no tags',
		options => $failing,
		edits => [ [ 'src/worker/round.c',
				"\t\tif (r->invalidations && !invalidated)\n", "\t\tif (false)\n" ] ]
	},
	{
		name => 'no_identity_check',
		about => 'another life of the same server is not recognised (R22)',
		options => '--only redis_older,redis_saved --themes mixed',
		edits => [
			[ 'src/worker/position.c',
				"\t\tstrcmp(answer.text[SAYS_IDENTITY], known_identity) == 0 &&\n", "" ],
			[ 'src/redis/position.lua',
				"if act ~= 'look' and identity == ARGV[3] then",
				"if act ~= 'look' then" ]
		]
	},
	{
		name => 'no_lease_kill',
		about => 'a push leaves the lease of who is about to fill (R5)',
		options => '--only redis_empty,redis_no_fence --themes mixed --round 3'
		  . ' --calm 6 --fillers 3',
		edits => [ [ 'src/redis/apply.lua', "  gone[#gone + 1] = LEASE .. key\n",
				'' ] ]
	},
	{
		name => 'superseded_stored',
		about => 'an image that a trigger has replaced is stored last (R1)',
		options => '--themes pg --only checkpoint',
		edits => [ [ 'src/capture/trigger.c',
				"\tif (!is_superseded(newtuple))\n", "\tif (true)\n" ] ]
	},
	{
		name => 'savepoints_ignored',
		about => 'what is rolled back to a savepoint is pushed',
		options => '--themes pg --only checkpoint',
		edits => [ [ 'src/txn/xact.c',
				'wtc_pending_subabort(GetCurrentTransactionNestLevel())',
				'wtc_pending_subcommit(GetCurrentTransactionNestLevel())' ] ]
	},
	{
		name => 'commit_not_flushed',
		about => 'what a crash takes back is pushed (R14)',
		options => '--only pg_kill9,pg_immediate,backend_kill9 --themes pg'
		  . ' --writers 2 --readers 2',
		edits => [ [ 'src/txn/xact.c',
				"\tif (wtc_mode != WTC_MODE_ASYNC)\n\t\tForceSyncCommit();\n", '' ] ]
	});

my %mutant = map { $_->{name} => $_ } @mutants;

sub get
{
	my ($name) = @_;

	return $mutant{$name} || die "no such mutant: $name\n";
}

sub apply
{
	my ($mutant, $dir) = @_;

	foreach my $edit (@{ $mutant->{edits} })
	{
		my ($file, $from, $to) = @$edit;

		open(my $in, '<', "$dir/$file") or die "could not read \"$file\": $!\n";
		my $text = do { local $/; <$in> };
		my $at = index($text, $from);
		die "$mutant->{name}: not in $file exactly once: $from\n"
		  if $at < 0 || index($text, $from, $at + 1) >= 0;
		substr($text, $at, length $from) = $to;
		open(my $out, '>', "$dir/$file") or die "could not write \"$file\": $!\n";
		print $out $text;
		close $out or die "could not write \"$file\": $!\n";
	}
}

my ($what, $more) = @ARGV;
die "usage: see the head of mutants.pl\n" unless defined $what;
if ($what eq '--names')
{
	print "$_->{name}\n" foreach @mutants;
}
elsif ($what eq '--list')
{
	printf "%-28s %s\n", $_->{name}, $_->{about} foreach @mutants;
}
elsif ($what eq '--options')
{
	print get($more)->{options}, "\n";
}
else
{
	apply(get($what), $more);
}
