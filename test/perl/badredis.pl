#!/usr/bin/perl
#
# badredis.pl
#	  A proxy before a Redis server which misbehaves when told to.
#
#	badredis.pl --listen PATH|HOST:PORT --upstream PATH|HOST:PORT --control PATH
#	badredis.pl --send PATH WORD...		send a control line, print the answer
#
# It ends when its standard input does.  Everything passes through unchanged
# until the mode says otherwise; by default the mode concerns pushes only.  A push
# is all from MULTI to the GET that follows its EXEC, after a connection's
# handshake, which is what a client sends up to its first GET, inclusively; but
# for what the worker keeps for itself (a MULTI that has an EVAL in it, or names
# wtcache:position).
#
# Control lines (on a unix socket, each answered by a line "ok ..." or "error"):
#
#	mode NAME [OPTION=VALUE...]		values percent-encoded
#	release [nth=N]		forward what is held; answered when Redis has answered
#	drop				close all connections
#	status				conns= accepted so far, open= of these still open,
#						pushes= seen, hits= of these maltreated, held= not released
#
# Modes:
#	normal
#	refuse			no longer listen; drop=1 also closes what is open
#	blackhole		never answer; forward=1: but have it executed
#	hold			keep requests here until "release", even if the client is gone
#	delay			answer after delay=MS (100)
#	drip			answer one byte every delay=MS (100)
#	close_before	close when the request has been read; it is not executed
#	close_mid		close after half of the answer, or after bytes=N of it
#	close_after		close instead of answering; the request is executed
#					(all three: how=reset (default) or how=fin.  A unix socket
#					knows no reset: the client sees the end of the stream)
#	error			answer text=TEXT as an error
#	reply			answer text=BYTES
#	garbage, negative, huge, hugearray, nested
#					answer so: no protocol at all, a length below zero, a string or
#					an array of 2,000,000,000, arrays in arrays 100,000 deep, or
#					depth=N
#	extra			an answer too many
#	missing			an answer too few
#
# Options of every mode, to narrow it down:
#	scope=new|existing	connections made after or before this control line
#	nth=N				the N-th connection only
#	count=N				N times only, then behave
#	match=BYTES			requests that contain this only
#	who=backend|worker	connections of backends, or of the worker, only
#	at=push|request|connect		pushes (default); every request, handshake
#						included; on accept, without having read anything
#						(not for delay, missing, extra and hold)
#
# A connection that was maltreated stays so when the mode changes.

use strict;
use warnings;

use Errno qw(EAGAIN EINTR EWOULDBLOCK);
use Getopt::Long;
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use Socket qw(SOL_SOCKET SO_LINGER);
use Time::HiRes qw(time);

my %canned = (
	garbage => "\x00\xff\x13 garbage\r\n\r\n",
	negative => "\$-7\r\n",
	huge => "\$2000000000\r\nabc",
	hugearray => "*2000000000\r\n:1\r\n",
	nested => "*1\r\n" x 100000);
my %known = map { $_ => 1 } (
	qw(normal refuse blackhole hold delay drip close_before close_mid
	  close_after error reply extra missing), keys %canned);

my ($listen_at, $upstream_at, $control_at, $send_to);

GetOptions(
	'listen=s' => \$listen_at,
	'upstream=s' => \$upstream_at,
	'control=s' => \$control_at,
	'send=s' => \$send_to) or exit 2;

if (defined $send_to)
{
	my $sock = IO::Socket::UNIX->new(Peer => $send_to)
	  or die "could not connect to \"$send_to\": $!\n";

	print $sock "@ARGV\n";
	$sock->flush;
	print scalar <$sock> // die "no answer\n";
	exit 0;
}
die "usage: see the header of $0\n"
  unless defined $listen_at && defined $upstream_at && defined $control_at;

$SIG{PIPE} = 'IGNORE';
$SIG{INT} = 'IGNORE';    # ours is the end of standard input

my %mode = (name => 'normal');
my %conn;                # by id
my %by_fd;               # [ 'client' | 'upstream' | 'control' , object ]
my @waiting;             # control connections that wait for a release
my %total = (conns => 0, pushes => 0, hits => 0);
my $listener;

unlink $control_at;
my $control = IO::Socket::UNIX->new(Local => $control_at, Listen => 5)
  or die "could not listen on \"$control_at\": $!\n";
start_listening();

while (1)
{
	my (@read, @write);
	my $now = time;
	my $wake = $now + 3600;

	foreach my $c (values %conn)
	{
		push @read, $c->{client} if $c->{client} && !$c->{closing};
		push @read, $c->{up} if $c->{up};
		push @write, $c->{up} if $c->{up} && length $c->{uout};
		if ($c->{client} && length $c->{cout})
		{
			if (($c->{not_before} || 0) <= $now)
			{
				push @write, $c->{client};
			}
			elsif ($c->{not_before} < $wake)
			{
				$wake = $c->{not_before};
			}
		}
	}
	push @read, map { $_->[1]{sock} }
	  grep { $_->[0] eq 'control' } values %by_fd;
	push @read, $listener if $listener;
	push @read, $control, \*STDIN;

	my ($can_read, $can_write) =
	  IO::Select->select(IO::Select->new(@read), IO::Select->new(@write),
		undef, $wake - $now);

	# One that was closed on behalf of another has no number any more.
	foreach my $sock (@{ $can_write || [] })
	{
		write_some($by_fd{ fileno $sock }) if defined fileno $sock;
	}
	foreach my $sock (@{ $can_read || [] })
	{
		if ($sock == \*STDIN)
		{
			exit 0 unless sysread(STDIN, my $ignored, 1024);
		}
		elsif ($listener && $sock == $listener) { accept_client(); }
		elsif ($sock == $control) { accept_control(); }
		elsif (defined fileno $sock) { read_some($by_fd{ fileno $sock }); }
	}
	answer_waiting();
}

# ---------------------------------------------------------------------------
# Sockets
# ---------------------------------------------------------------------------

sub write_some
{
	my ($entry) = @_;

	return unless $entry;
	my ($kind, $c) = @$entry;
	my ($sock, $buf) =
	  $kind eq 'client' ? ($c->{client}, \$c->{cout}) : ($c->{up}, \$c->{uout});
	my $max = length $$buf;

	return unless $sock && $max;
	if ($kind eq 'client' && $c->{drip})
	{
		$max = 1;
		$c->{not_before} = time + $c->{drip} / 1000;
	}
	my $n = syswrite($sock, $$buf, $max);

	if (defined $n)
	{
		substr($$buf, 0, $n, '');
		close_client($c)
		  if $kind eq 'client' && $c->{closing} && !length $$buf;
	}
	elsif (!retry())
	{
		$kind eq 'client' ? client_gone($c) : upstream_gone($c);
	}
	return;
}

sub read_some
{
	my ($entry) = @_;

	return unless $entry;
	my ($kind, $c) = @$entry;
	my $sock = $c->{ { client => 'client', upstream => 'up', control => 'sock' }
		->{$kind} };
	my $n = sysread($sock, my $data, 65536);

	return if !defined $n && retry();
	if ($kind eq 'control')
	{
		return forget($c->{sock}) unless $n;
		$c->{in} .= $data;
		while ($c->{in} =~ s/^([^\n]*)\n//)
		{
			my $answer = eval { obey($c, $1) };
			$answer = 'error ' . ($@ =~ s/\n/ /gr) unless defined $answer;
			syswrite($c->{sock}, "$answer\n") if length $answer;
		}
	}
	elsif ($kind eq 'client')
	{
		return client_gone($c) unless $n;
		return if $c->{dead};
		$c->{cin} .= $data;
		parse_requests($c);
	}
	else
	{
		return upstream_gone($c) unless $n;
		$c->{uin} .= $data;
		pump($c);
	}
	return;
}

sub retry { return $! == EAGAIN || $! == EWOULDBLOCK || $! == EINTR; }

sub forget
{
	my ($sock) = @_;

	delete $by_fd{ fileno $sock };
	close $sock;
	return;
}

sub start_listening
{
	return if $listener;
	if ($listen_at =~ /^([^\/]+):(\d+)$/)
	{
		$listener = IO::Socket::INET->new(
			LocalAddr => $1,
			LocalPort => $2,
			ReuseAddr => 1,
			Listen => 128);
	}
	else
	{
		unlink $listen_at;
		$listener = IO::Socket::UNIX->new(Local => $listen_at, Listen => 128);
	}
	die "could not listen on \"$listen_at\": $!\n" unless $listener;
	return;
}

sub connect_upstream
{
	return $upstream_at =~ /^([^\/]+):(\d+)$/
	  ? IO::Socket::INET->new(PeerAddr => $1, PeerPort => $2)
	  : IO::Socket::UNIX->new(Peer => $upstream_at);
}

sub accept_control
{
	my $sock = $control->accept or return;

	$by_fd{ fileno $sock } = [ 'control', { sock => $sock, in => '' } ];
	return;
}

sub accept_client
{
	my $client = $listener->accept or return;
	my $c = {
		id => ++$total{conns},
		client => $client,
		cin => '', cpos => 0,    # from the client, parsed up to cpos
		cout => '',              # to the client
		uin => '', uout => '',
		queue => [],             # requests to be answered, in their order
		held => []
	};

	$conn{ $c->{id} } = $c;
	$client->blocking(0);
	$by_fd{ fileno $client } = [ 'client', $c ];
	if (applies($c, 'connect'))
	{
		maltreat($c);
		return unless $c->{client} && !$c->{dead};
	}
	$c->{up} = connect_upstream();
	return close_client($c) unless $c->{up};
	$c->{up}->blocking(0);
	$by_fd{ fileno $c->{up} } = [ 'upstream', $c ];
	return;
}

# The client closed its end.  What it has sent is executed nonetheless, and so
# is what we hold of it: that is what packets under way are like.
sub client_gone
{
	my ($c) = @_;

	forget(delete $c->{client}) if $c->{client};
	$c->{cout} = '';
	pump($c);
	return;
}

sub close_client
{
	my ($c, $how) = @_;

	if ($c->{client} && ($how || '') eq 'reset')
	{
		setsockopt($c->{client}, SOL_SOCKET, SO_LINGER, pack('II', 1, 0));
	}
	$c->{held} = [];
	$c->{queue} = [];
	client_gone($c);
	return;
}

sub upstream_gone
{
	my ($c) = @_;

	forget(delete $c->{up}) if $c->{up};
	$c->{queue} = [];
	$c->{held} = [];
	$c->{uout} = '';
	if ($c->{client} && length $c->{cout}) { $c->{closing} = 1; }
	else { client_gone($c); }
	return;
}

# ---------------------------------------------------------------------------
# Requests and replies
# ---------------------------------------------------------------------------

# Take complete requests off what the client sent.
sub parse_requests
{
	my ($c) = @_;

	while (!$c->{dead} && $c->{client})
	{
		if (!defined $c->{left})
		{
			my $end = index($c->{cin}, "\r\n");

			return if $end < 0;
			my $line = substr($c->{cin}, 0, $end);
			$c->{left} = $line =~ /^\*(\d+)/ ? $1 : 0;
			$c->{name} = $c->{left} ? undef : uc((split ' ', $line)[0] // '');
			$c->{cpos} = $end + 2;
		}
		while ($c->{left} > 0)
		{
			my $end = index($c->{cin}, "\r\n", $c->{cpos});

			return if $end < 0;
			my $len = substr($c->{cin}, $c->{cpos} + 1, $end - $c->{cpos} - 1);
			return if length($c->{cin}) < $end + 2 + $len + 2;
			$c->{name} //= uc substr($c->{cin}, $end + 2, $len);
			$c->{cpos} = $end + 2 + $len + 2;
			$c->{left}--;
		}
		my $command = substr($c->{cin}, 0, $c->{cpos}, '');
		$c->{left} = undef;
		take_command($c, $c->{name}, $command);
	}
	return;
}

# A command is a request, unless it belongs to what begins with a MULTI.
sub take_command
{
	my ($c, $name, $command) = @_;

	$c->{who} = 'worker'
	  if $name eq 'CLIENT' && index($command, 'wtcache-worker') >= 0;
	$c->{commands} = [] if $c->{ready} && $name eq 'MULTI';
	if (!$c->{commands})
	{
		$c->{ready} = 1 if $name eq 'GET';
		return handle_request($c, 0, $command);
	}
	push @{ $c->{commands} }, $command;
	return unless $name eq 'GET';
	my @commands = @{ delete $c->{commands} };
	my @own =
	  grep { /^\*\d+\r\n\$4\r\nEVAL\r\n|wtcache:position/ } @commands;

	handle_request($c, !@own, @commands);
	return;
}

# Commands that belong together
sub handle_request
{
	my ($c, $push, @commands) = @_;
	my $request = join '', @commands;

	$total{pushes}++ if $push;
	if (@{ $c->{held} })
	{
		push @{ $c->{held} }, \@commands;
	}
	elsif (applies($c, 'request', $request)
		|| ($push && applies($c, 'push', $request)))
	{
		maltreat($c, @commands);
	}
	else
	{
		forward($c, \@commands, 'pass');
	}
	return;
}

sub forward
{
	my ($c, $commands, $what, %o) = @_;

	return unless $c->{up};
	$c->{uout} .= join '', @$commands;
	push @{ $c->{queue} },
	  { what => $what, forwarded => scalar(@$commands), %o };
	return;
}

# A server that refuses the commands of a push; the client watches and reads the
# token all the same.
sub refuse_push
{
	my ($c, $error, @commands) = @_;

	push @{ $c->{queue} },
	  {
		what => 'pass',
		reply => "+OK\r\n"
		  . $error x (@commands - 4)
		  . "-EXECABORT Transaction discarded because of previous errors.\r\n"
	  };
	forward($c, [ @commands[ -2, -1 ] ], 'pass');
	return;
}

# Is the current mode for this connection and moment?  If so, count it.
sub applies
{
	my ($c, $at, $request) = @_;

	return 0 if $mode{name} eq 'normal' || $mode{name} eq 'refuse';
	return 0 if $mode{at} ne $at;
	return 0 if $mode{nth} && $mode{nth} != $c->{id};
	return 0 if $mode{who} && $mode{who} ne ($c->{who} // 'backend');
	return 0 if $mode{scope} eq 'new' && $c->{id} <= $mode{since};
	return 0 if $mode{scope} eq 'existing' && $c->{id} > $mode{since};
	return 0
	  if defined $mode{match} && index($request // '', $mode{match}) < 0;
	if (defined $mode{count})
	{
		return 0 if $mode{count} <= 0;
		$mode{count}--;
	}
	$total{hits}++;
	return 1;
}

sub maltreat
{
	my ($c, @commands) = @_;
	my $name = $mode{name};
	my %o = %mode;

	if ($name eq 'hold')
	{
		push @{ $c->{held} }, \@commands;
	}
	elsif ($name eq 'blackhole')
	{
		if ($o{forward}) { forward($c, \@commands, 'swallow'); }
		$c->{dead} = 1;
	}
	elsif ($name eq 'close_before')
	{
		close_client($c, $o{how});
	}
	elsif ($name eq 'error' && @commands > 1)
	{
		refuse_push($c, '-' . $o{text} . "\r\n", @commands);
		pump($c);
	}
	elsif ($name eq 'error' || $name eq 'reply' || $canned{$name})
	{
		my $reply =
		  $name eq 'error' ? '-' . $o{text} . "\r\n"
		  : $name eq 'reply' ? $o{text}
		  : $name eq 'nested' && $o{depth} ? "*1\r\n" x $o{depth}
		  : $canned{$name};

		push @{ $c->{queue} }, { what => 'pass', reply => $reply };
		# After anything else than an error the stream is out of step.
		$c->{dead} = 1 unless $name eq 'error';
		pump($c);
	}
	elsif (!@commands && $name eq 'drip')
	{
		$c->{drip} = $o{delay};
	}
	elsif (!@commands)
	{
		close_client($c, $o{how});
	}
	else
	{
		forward($c, \@commands, $name, option => \%o);
	}
	return;
}

# Position after the reply at $pos of the buffer, undef if it is incomplete.
sub reply_end
{
	my ($buf, $pos) = @_;
	my $end = index($$buf, "\r\n", $pos);

	return undef if $end < 0;
	my $type = substr($$buf, $pos, 1);
	my $len = substr($$buf, $pos + 1, $end - $pos - 1);

	$pos = $end + 2;
	if ($type =~ /[\$=!]/ && $len >= 0)
	{
		$pos += $len + 2;
		return $pos <= length $$buf ? $pos : undef;
	}
	if ($type =~ /[*~>%]/)
	{
		$len *= 2 if $type eq '%';
		for (; $len > 0; $len--)
		{
			$pos = reply_end($buf, $pos) // return undef;
		}
	}
	return $pos;
}

# The same after so many replies.
sub replies_end
{
	my ($buf, $n) = @_;
	my $pos = 0;

	while ($n-- > 0)
	{
		$pos = reply_end($buf, $pos) // return undef;
	}
	return $pos;
}

# Move answers on to the client, and see whether the connection is over.
sub pump
{
	my ($c) = @_;

	while (my $r = $c->{queue}[0])
	{
		my $reply = $r->{reply};

		if ($r->{forwarded})
		{
			my $end = replies_end(\$c->{uin}, $r->{forwarded}) // last;

			$reply = substr($c->{uin}, 0, $end, '');
		}
		shift @{ $c->{queue} };
		answer($c, $r, $reply);
	}
	if (!$c->{client} && !@{ $c->{queue} } && !@{ $c->{held} })
	{
		forget(delete $c->{up}) if $c->{up};
		delete $conn{ $c->{id} };
	}
	return;
}

sub answer
{
	my ($c, $r, $reply) = @_;
	my $what = $r->{what};
	my $o = $r->{option};

	return unless $c->{client};
	if ($what eq 'close_after')
	{
		return close_client($c, $o->{how});
	}
	if ($what eq 'close_mid')
	{
		my $bytes = $o->{bytes} // int(length($reply) / 2);

		syswrite($c->{client}, $c->{cout} . substr($reply, 0, $bytes));
		return close_client($c, $o->{how});
	}
	return if $what eq 'swallow' || $what eq 'missing';

	$c->{cout} .= $reply;
	$c->{cout} .= "+EXTRA\r\n" if $what eq 'extra';
	$c->{drip} = $o->{delay} if $what eq 'drip';
	$c->{not_before} = time + $o->{delay} / 1000 if $what eq 'delay';
	return;
}

# ---------------------------------------------------------------------------
# Control
# ---------------------------------------------------------------------------

sub obey
{
	my ($control, $line) = @_;
	my ($verb, @words) = split ' ', $line;
	my %o;

	$verb //= '';
	my $name = $verb eq 'mode' ? shift @words : undef;
	foreach my $word (@words)
	{
		my ($key, $value) = split /=/, $word, 2;

		$value //= 1;
		$value =~ s/%([0-9a-fA-F]{2})/chr hex $1/ge;
		$o{$key} = $value;
	}

	if ($verb eq 'mode')
	{
		die "unknown mode\n" unless defined $name && $known{$name};
		%mode = (
			scope => 'all',
			at => 'push',
			how => 'reset',
			delay => 100,
			text => 'ERR misbehaving',
			%o,
			name => $name,
			since => $total{conns});
		if ($name eq 'refuse')
		{
			close $listener if $listener;
			undef $listener;
			drop() if $o{drop};
		}
		else { start_listening(); }
		return 'ok';
	}
	if ($verb eq 'status')
	{
		my %now = (
			%total,
			open => scalar(grep { $_->{client} } values %conn),
			held => scalar(grep { @{ $_->{held} } } values %conn));

		return join ' ', 'ok', map { "$_=$now{$_}" } sort keys %now;
	}
	if ($verb eq 'drop')
	{
		drop();
		return 'ok';
	}
	if ($verb eq 'release')
	{
		my @released;

		foreach my $c (values %conn)
		{
			next if $o{nth} && $o{nth} != $c->{id};
			next unless @{ $c->{held} };
			forward($c, $_, 'pass') foreach splice @{ $c->{held} };
			push @released, $c;
		}
		push @waiting, { sock => $control->{sock}, for => \@released };
		return '';    # see answer_waiting
	}
	die "unknown command\n";
}

sub drop
{
	close_client($_) foreach values %conn;
	return;
}

sub answer_waiting
{
	my @still;

	foreach my $w (@waiting)
	{
		if (grep { @{ $_->{queue} } } @{ $w->{for} }) { push @still, $w; }
		else { syswrite($w->{sock}, "ok\n"); }
	}
	@waiting = @still;
	return;
}
