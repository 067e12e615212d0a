
=pod

=head1 NAME

Faultloop::Quiet - what must hold once everything has come to rest

=head1 DESCRIPTION

When the writers are at rest, the servers stand, and wtcache.wait() has said
that all is in Redis: compares the tables with Redis, and looks at what the
server says of itself.  Each check returns [ class, text ] for what is wrong.

=cut

package Faultloop::Quiet;

use strict;
use warnings;

use FindBin;
use Time::HiRes qw(sleep time);
use Wtcache::Resp;

use constant SHOWN => 10;    # differences of a kind that are told one by one

sub new
{
	my ($class, $servers) = @_;

	return bless {
		servers => $servers,
		missing => {},     # key => the row that was missing last time
		watermark => '0/0',
		baseline => {},    # of descriptors and memory
		log_at => 0
	}, $class;
}

# ---------------------------------------------------------------------------
# Tables and keys
# ---------------------------------------------------------------------------

# Key, its tag, whether it has to be there, and its value
my $rows = q{
COPY (
	SELECT 'items:' || id, 'cat:' || category, 1, row_to_json(t)::text
		FROM items t UNION ALL
	SELECT 'hot:' || id, 'cat:' || category, 1, row_to_json(t)::text
		FROM hot t UNION ALL
	SELECT 'bulk:' || id, 'cat:' || category, 1, row_to_json(t)::text
		FROM bulk t UNION ALL
	SELECT 'section:' || id, 'cat:' || category, 1, row_to_json(t)::text
		FROM section t UNION ALL
	SELECT 'page:' || id, 'page:' || id, 0,
		jsonb_build_array(id, seq, writer)::text FROM section UNION ALL
	SELECT 'probe:' || id, NULL, 1, row_to_json(t)::text FROM probe t UNION ALL
	SELECT 'plant:' || id, 'plant:' || id, 0, row_to_json(t)::text
		FROM plant t UNION ALL
	SELECT 'shaped:' || id, NULL, 0, row_to_json(t)::text FROM shaped t UNION ALL
	SELECT 'parted:' || id, NULL, 0, row_to_json(t)::text FROM parted t
) TO STDOUT};

# Every string and every tag's members that Redis holds
sub held
{
	my ($resp) = @_;
	my (%value, %member);
	my @keys = grep { !/^wtcache:/ } @{ $resp->command('KEYS', '*') };
	my @tags = grep { /^tag:/ } @keys;

	@keys = grep { !/^tag:/ } @keys;
	while (my @some = splice @keys, 0, 1000)
	{
		@value{@some} = @{ $resp->command('MGET', @some) };
	}
	foreach my $tag (@tags)
	{
		$member{"$tag $_"} = 1 foreach @{ $resp->command('SMEMBERS', $tag) };
	}
	return (\%value, \%member);
}

# may_miss: values may be missing, for they were lost in this round
sub compare
{
	my ($self, $may_miss) = @_;
	my $servers = $self->{servers};
	my $resp = Wtcache::Resp->new($servers->redis_socket);
	my ($value, $member) = held($resp);
	my $expected = $servers->sql($rows, 60);
	my (@wrong, %missing);

	return [ 'QUERY', 'could not read the tables' ] unless defined $expected;
	foreach my $line (split /\n/, $expected)
	{
		my ($key, $tag, $needed, $row) = split /\t/, $line;
		my $held = delete $value->{$key};

		if (!defined $held)
		{
			next unless $needed;
			$missing{$key} = $row;
			push @wrong, [ 'ABSENT', "$key: not there, the row is $row" ]
			  unless $may_miss || ($self->{missing}{$key} // '') eq $row;
		}
		elsif ($held ne $row)
		{
			push @wrong, [ 'DIFFERS', "$key: $held, the row is $row" ];
		}
		elsif ($tag ne '\N' && !$member->{"tag:$tag $key"})
		{
			push @wrong, [ 'TAG', "$key is not in the set of $tag" ];
		}
	}
	push @wrong, map { [ 'NO_ROW', "$_: $value->{$_}, and there is no row" ] }
	  sort keys %$value;
	$self->{missing} = \%missing;
	return @wrong;
}

sub missing { return scalar keys %{ $_[0]{missing} }; }

# What wtcache.verify() finds after compare(): exactly what that has found to be
# missing, for if it has found anything else it has said so.  With repair that
# must be there afterwards.
sub verify
{
	my ($self, $repair) = @_;
	my %missing = %{ $self->{missing} };
	my $option = $repair ? ', repair => true' : '';
	my @wrong;
	# those whose schema is changed are attached by who does that
	my $tables = $self->{servers}->sql('SELECT relation FROM wtcache.attachments');

	return [ 'QUERY', 'could not read the attachments' ] unless defined $tables;
	foreach my $table (split /\n/, $tables)
	{
		# the largest by far: not always
		if ($table eq 'bulk' && !$repair && rand() < 0.7)
		{
			delete @missing{ grep { /^bulk:/ } keys %missing };
			next;
		}
		my $found = $self->{servers}->sql("SELECT kind, key, repaired"
			  . " FROM wtcache.verify('$table'$option)", 60);

		return [ 'QUERY', "could not verify $table" ] unless defined $found;
		foreach my $line (split /\n/, $found)
		{
			my ($kind, $key, $repaired) = split /\|/, $line;
			my $right = $kind eq 'missing'
			  && ($table =~ /^(?:plant|shaped|parted)$/ || delete $missing{$key});

			push @wrong, [ 'VERIFY', "$key is not $kind" ] unless $right;
			push @wrong, [ 'VERIFY', "$key could not be repaired" ]
			  if $repair && $repaired ne 't';
		}
	}
	push @wrong, map { [ 'VERIFY', "$_ is missing and was not found" ] }
	  sort keys %missing;
	$self->{missing} = {} if $repair;
	return @wrong;
}

# ---------------------------------------------------------------------------
# What the server says
# ---------------------------------------------------------------------------

# Everything settled; the watermark may follow a moment later.
sub status
{
	my ($self) = @_;
	my $servers = $self->{servers};
	my $settled = sub {
		return ($servers->sql(
				q{SELECT in_flight = 0 AND replay_from IS NULL AND uncommitted_batches = 0
				  AND watermark > '} . $self->{watermark}
				  . q{' FROM wtcache.status}) // '') eq 't';
	};
	my $ok = Faultloop::Servers::wait_until(20, $settled);
	my $is = $servers->sql('SELECT watermark, in_flight, replay_from, uncommitted_batches,'
		  . ' worker_state FROM wtcache.status') // '||||';
	my ($watermark) = split /\|/, $is;

	$self->{watermark} = $watermark if $watermark;
	return if $ok;
	return [ 'STATUS', "watermark|in_flight|replay_from|uncommitted_batches|state: $is" ];
}

# Another server has taken the place, and stands further back in WAL.
sub switched { my ($self) = @_; $self->{watermark} = '0/0'; return; }

# Descriptors and memory of the worker and of the largest of the backends.  Of
# files a backend may open as many as it has relations to read: they are not
# counted.
sub resources
{
	my ($self) = @_;
	my $servers = $self->{servers};
	my %pids = (
		worker => [ grep { defined } $servers->worker ],
		backend => [ $servers->backends('') ]);
	my %bound = (descriptors => 10, memory => 64 * 1024);
	my @wrong;

	foreach my $who (sort keys %pids)
	{
		my %now = (descriptors => 0, memory => 0);

		foreach my $pid (@{ $pids{$who} })
		{
			my @fds = grep { (readlink($_) // "/") !~ m{^/} } glob "/proc/$pid/fd/*";
			my $status = Faultloop::Servers::slurp("/proc/$pid/status") // '';
			my ($anon) = $status =~ /^RssAnon:\s+(\d+)/m;

			$now{descriptors} = @fds if @fds > $now{descriptors};
			$now{memory} = $anon if ($anon // 0) > $now{memory};
		}
		foreach my $what (sort keys %now)
		{
			my $was = $self->{baseline}{"$who $what"} //= $now{$what};

			$self->{latest}{"$who $what"} = $now{$what};
			push @wrong, [ 'GROWTH', "$what of $who: $was, now $now{$what}" ]
			  if $now{$what} > $was + $bound{$what};
		}
	}
	return @wrong;
}

# Lines that only a bug writes, since the last time: of a crash, and the
# worker's errors, each of which costs a second
sub log_lines
{
	my ($self) = @_;
	my @wrong;

	open(my $log, '<', $self->{servers}->pg_log) or return;
	seek($log, $self->{log_at}, 0);
	while (<$log>)
	{
		chomp;
		push @wrong, [ 'LOG', $_ ]
		  if /PANIC:|TRAP:|terminated by signal (?:4|6|7|8|11):/
		  || /\] wtcache worker ERROR:/;
	}
	$self->{log_at} = tell $log;
	return @wrong;
}

1;
