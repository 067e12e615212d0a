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

# What makes pushes fail while Redis keeps its data.  With asynchronous transactions the watermark moves all the time, and with prepared
# ones it hardly does.
my $failing = '--only redis_client_kill,backend_cancel,backend_terminate,'
  . 'redis_stop --themes mixed --gap 0.3 --kinds async --mix 100';

# A new primary, and nothing else
my $promotion = '--standby --only pg_promote --themes mixed --round 3 --gap 30'
  . ' --mix 100';

# Nothing but operators and writers
my $calm = '--themes pg --only checkpoint --mix 100 --operators';

# Where a push begins, and where its request is sent: late, now and then
my $pushing = "\tif (push->unready != WTC_OK)\n"
  . "\t\treturn push->skipped ? WTC_PUSH_SKIPPED : WTC_PUSH_FAILED;\n";
my $sending = "\t\tturn = wtc_exchange_chunk(chunk, text, deadline_us, said);\n";
my $late = "$pushing\tif ((random() & 7) == 0)\n\t\tpg_usleep(300000);\n";
my $pause = "\t\tif ((random() & 7) == 0)\n\t\t\tpg_usleep(50000);\n";

my @mutants = (
	# how order is kept; test/order has the rules that this does not find
	{
		name => 'no_versions',
		about => 'what has been overtaken is sent all the same',
		options => '--themes pg --only backend_stop --gap 0.3 --operators= --kinds=',
		edits => [
			[ 'src/push/chunk.c', "\tif (sent > item->version)\n",
				"\tif (false)\n" ],
			[ 'src/push/push.c', $pushing, $late ]
		]
	},
	{
		name => 'no_marks',
		about => 'a key that another process has under way is not waited for',
		options => '--themes pg --only checkpoint --operators= --kinds=',
		edits => [
			[ 'src/push/versions.c',
				"\telse if (b->owner[i] != 0 && b->owner[i] != owner)\n",
				"\telse if (false)\n" ],
			[ 'src/push/versions.c', "\tAssert(i >= 0 && b->owner[i] != 0);\n", '' ],
			[ 'src/push/push.c', $sending, "$pause$sending" ]
		]
	},
	{
		name => 'tags_not_looked_at',
		about => 'a store does not ask whether its tag has been invalidated',
		options => '--themes pg --only checkpoint --operators= --kinds async',
		edits => [
			[ 'src/push/chunk.c', "\t(void) wtc_chunk_recheck_tags(chunk);\n", '' ],
			[ 'src/push/exchange.c',
				'if (wtc_chunk_recheck_tags(chunk) > 0 || said->rejected != WTC_OK)',
				'if (said->rejected != WTC_OK)' ],
			[ 'src/push/push.c', $pushing, $late ]
		]
	},
	{
		name => 'tags_not_looked_at_again',
		about => 'a store does not ask again behind its reply',
		options => '--themes pg --only checkpoint --operators= --kinds async',
		edits => [
			[ 'src/push/exchange.c',
				'if (wtc_chunk_recheck_tags(chunk) > 0 || said->rejected != WTC_OK)',
				'if (said->rejected != WTC_OK)' ],
			[ 'src/push/push.c', $sending, "$pause$sending" ]
		]
	},
	{
		name => 'token_not_compared',
		about => 'a connection is used whatever token it has seen',
		options => $promotion,
		edits => [
			[ 'src/push/push.c',
				"\tif (wtc_token_number(wtc_link.watched) == *token)\n"
				  . "\t\treturn WTC_TURN_DONE;\n\tif (wtc_am_worker())\n",
				"\tif (!wtc_am_worker() || wtc_token_number(wtc_link.watched) == *token)\n"
				  . "\t\treturn WTC_TURN_DONE;\n\tif (wtc_am_worker())\n" ],
			[ 'src/push/push.c', "\tif (wtc_token() != token)\n", "\tif (false)\n" ],
			[ 'src/push/push.c', $sending, "$pause$sending" ]
		]
	},
	{
		name => 'floor_not_raised',
		about => 'what the version table forgets is taken for never sent',
		# big transactions push everything else out
		options => '--themes pg --only checkpoint --absent --kinds big --mix 100'
		  . ' --big 300 --set wtcache.version_memory=64kB',
		edits => [
			[ 'src/push/versions.c',
				"\tb->floor = Max(b->floor, b->version[i]);\n", '' ],
			[ 'src/push/push.c', $pushing, $late ]
		]
	},
	# what a promotion needs
	{
		name => 'no_sweep',
		about => 'what the lost part of a timeline has stored is left',
		options => $promotion,
		edits => [ [ 'src/redis/sweep.lua',
				'if timeline and left[timeline] and less(left[timeline], lsn) then',
				'if false then' ] ]
	},
	{
		name => 'replay_not_journaled',
		about => 'what the worker pushes is not noted for a promotion',
		options => "$promotion --kinds async",
		edits => [ [ 'src/push/exchange.c',
				"\tbool\t\tjournal = wtc_journaling();\n",
				"\tbool\t\tjournal = !wtc_am_worker() && wtc_journaling();\n" ] ]
	},
	{
		name => 'mark_late',
		about => 'the in-flight mark is published after the message',
		options => $failing,
		edits => [
			[ 'src/txn/xact.c',
				"\t\twtc_inflight_publish(GetXLogInsertRecPtr());\n",
				"\t\tmark = GetXLogInsertRecPtr();\n" ],
			[ 'src/txn/xact.c', "static void\nmark_in_flight(void)\n{\n",
				"static XLogRecPtr mark;\n\nstatic void\nmark_in_flight(void)\n{\n" ],
			[ 'src/txn/xact.c',
				"\t(void) write_message(&message);\n",
				"\t(void) write_message(&message);\n"
				  . "\twtc_inflight_publish(mark);\n" ],
			[ 'src/txn/xact.c',
				"\tlsn = write_message(&message);\n",
				"\tlsn = write_message(&message);\n"
				  . "\tif ((random() & 7) == 0)\n\t\tpg_usleep(20000);\n"
				  . "\twtc_inflight_publish(mark);\n" ]
		]
	},
	{
		name => 'mark_cleared_first',
		about => 'the mark is cleared before replay_from is lowered',
		options => $failing,
		edits => [ [ 'src/shared/slots.c',
				"\tif (!pushed)\n\t\twtc_outbox_leave(lsn);\n",
				"\tpg_atomic_write_u64(&slot->inflight, InvalidXLogRecPtr);\n"
				  . "\tif (!pushed)\n\t\tpg_usleep(20000);\n"
				  . "\tif (!pushed)\n\t\twtc_outbox_leave(lsn);\n" ] ]
	},
	{
		name => 'replay_from_never_lowered',
		about => 'a failed push is not left to the worker',
		options => $failing,
		edits => [ [ 'src/shared/slots.c',
				"\tif (!pushed)\n\t\twtc_outbox_leave(lsn);\n",
				"\tif (false)\n\t\twtc_outbox_leave(lsn);\n" ] ]
	},
	{
		name => 'marks_not_read',
		about => 'the watermark passes batches in flight',
		options => $failing,
		edits => [
			[ 'src/worker/watermark.c',
				"\tlsn = Min(lsn, marked);\n", '' ],
			[ 'src/push/push.c', $pushing,
				"\tif ((random() & 15) == 0)\n\t\tpg_usleep(20000);\n$pushing" ]
		]
	},
	{
		name => 'pushed_before_visible',
		about => 'the worker pushes what is committed and not yet visible',
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
		about => 'batches of transactions in progress are not kept',
		options => '--themes pg --only checkpoint',
		edits => [ [ 'src/worker/round.c',
				"\tif (fate == WTC_FATE_OPEN && !r->parked)\n", "\tif (false)\n" ] ]
	},
	{
		name => 'invalidations_forgotten',
		about => 'the worker pushes images and invalidates no tags',
		options => $failing,
		edits => [ [ 'src/worker/round.c',
				"\t\tif (r->invalidations && !invalidated)\n", "\t\tif (false)\n" ] ]
	},
	{
		name => 'superseded_stored',
		about => 'an image that a trigger has replaced is stored last',
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
		about => 'what a crash takes back is pushed',
		options => '--only pg_kill9,pg_immediate,backend_kill9 --themes pg'
		  . ' --writers 2 --readers 2',
		edits => [ [ 'src/txn/xact.c',
				"\tif (wtc_mode != WTC_MODE_ASYNC)\n\t\tForceSyncCommit();\n", '' ] ]
	},
	# what operators do, and find
	{
		name => 'ddl_keeps_keys',
		about => 'changes of the schema leave the images of the old shape',
		options => "$calm schema",
		edits => [ [ 'src/schema/statement.c',
				"\tif (rel->rd_rel->relkind != RELKIND_RELATION ||\n"
				  . "\t\trel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)\n",
				"\tif (true)\n" ] ]
	},
	{
		name => 'rename_keeps_keys',
		about => 'RENAME COLUMN leaves the images with the old name',
		options => "$calm schema",
		edits => [ [ 'src/schema/alter.c',
				"\t\t\tif (trigger != NULL &&\n"
				  . "\t\t\t\twtc_column_use(rel, trigger, stmt->subname).named)\n"
				  . "\t\t\t\twtc_forget(rel);\n", '' ] ]
	},
	{
		name => 'partition_keeps_keys',
		about => 'a table that loses its trigger leaves its keys',
		options => "$calm schema",
		edits => [ [ 'src/schema/drop.c',
				"\t/* the lock that dropping a trigger takes */\n"
				  . "\tLockRelationOid(row.relid, AccessExclusiveLock);\n"
				  . "\twtc_forget_table(row.relid);\n", '' ] ]
	},
	{
		name => 'truncate_keeps_keys',
		about => 'TRUNCATE deletes nothing from the cache',
		options => "$calm schema",
		edits => [ [ 'src/capture/trigger.c',
				"\twtc_capture_leaving(wtc_attachment_get(data->tg_relation, trigger),\n"
				  . "\t\t\t\t\t\tdata->tg_relation);\n", '' ] ]
	},
	{
		name => 'detach_keeps_keys',
		about => 'detach() does not delete the keys that it was to drop',
		options => "$calm warm",
		edits => [ [ 'src/api/attach.c',
				"\tif (PG_GETARG_BOOL(1))\n\t\tforget_keys(rel);\n", '' ] ]
	},
	{
		name => 'clear_unlocked',
		about => 'clear() overtakes what is prepared, which is absent for ever',
		options => "$calm warm --kinds prepared",
		edits => [ [ 'src/capture/trigger.c', 'if (!leaving && !lock_row(',
				'if (false && !lock_row(' ] ]
	},
	{
		name => 'warm_unlocked',
		about => 'warm() stores images of rows that it has not locked',
		options => "$calm warm",
		edits => [ [ 'src/bulk/warm_batch.c',
				"table_tuple_lock(part->rel, tid, snapshot, slot,\n"
				  . "\t\t\t\t\t\t\t  GetCurrentCommandId(true), LockTupleShare,\n"
				  . "\t\t\t\t\t\t\t  LockWaitSkip, 0, &why);",
				'table_tuple_fetch_row_version(part->rel, tid, snapshot, slot) ?'
				  . ' TM_Ok : TM_Updated;' ] ]
	},
	{
		name => 'warm_resumes_late',
		about => 'warm() goes on behind the place where it stopped',
		options => '--only pg_kill9,pg_immediate,backend_kill9 --themes pg --mix 100'
		  . ' --gap 0.5 --operators warm',
		edits => [ [ 'src/bulk/warm_job.c', "\tcolumn_tid(0, 7, &job->last);\n",
				"\tcolumn_tid(0, 7, &job->last);\n"
				  . "\tItemPointerSet(&job->last, 4 +"
				  . " ItemPointerGetBlockNumberNoCheck(&job->last), 0);\n" ] ]
	},
	{
		name => 'verify_not_rechecked',
		about => 'verify() does not look again whether a row is being changed',
		options => "$calm verify",
		edits => [ [ 'src/bulk/verify_rows.c',
				"\t\tchanging = current && being_changed(r->slot);\n",
				"\t\tcurrent = true;\n\t\tchanging = false;\n" ] ]
	},
	{
		name => 'verify_unflushed',
		about => 'verify() does not wait for what is on its way',
		options => "$calm verify --kinds async",
		edits => [ [ 'src/bulk/verify_rows.c',
				"\t\tpushed = wtc_verify_wait(r->run);\n",
				"\t\tflushed = true;\n" ] ]
	},
	{
		name => 'orphans_not_rechecked',
		about => 'verify() takes each key without a row for an orphan at once',
		options => "$calm verify",
		edits => [ [ 'src/bulk/verify_orphans.c',
				"\tpushed = n > 0 && wtc_verify_wait(hunt->run);\n"
				  . "\tn = keep_existing(suspects, n, true);\n"
				  . "\tlook_up(hunt, suspects, n);\n"
				  . "\tn = keep_orphans(suspects, n);\n",
				"\tflushed = true;\n" ] ]
	},
	{
		name => 'repair_disabled',
		about => 'verify() fills what does not follow the table any more',
		options => "$calm verify,schema",
		edits => [ [ 'src/bulk/verify.c', "\tif (run->repair)\n\t\twtc_check_firing",
				"\tif (false)\n\t\twtc_check_firing" ] ]
	},
	{
		name => 'tags_not_verified',
		about => 'verify() does not see that a key is missing in the set of a tag',
		options => "$calm plant",
		edits => [ [ 'src/bulk/verify_rows.c',
				' || look->nuntagged > 0', '' ] ]
	},
	{
		name => 'repair_blind',
		about => 'verify() deletes an orphan although a row has stored it again',
		options => "$calm plant",
		edits => [
			[ 'src/redis/expel.lua',
				"if redis.call('PEXPIRETIME', key) == tonumber(ARGV[i]) then",
				'if true then' ],
			[ 'src/bulk/verify_orphans.c', "\t\texpel(orphans, n, &answer);\n",
				"\t{\n\t\tpg_usleep(100000);\n\t\texpel(orphans, n, &answer);\n\t}\n" ]
		]
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
