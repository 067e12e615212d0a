
=pod

=head1 NAME

Wtcache::Source - what the C and Lua sources say to users

=head1 SYNOPSIS

  use Wtcache::Source;

  my $source = Wtcache::Source->new($top, \%sqlstates);
  foreach my $m ($source->messages) { ... }   # text, level, state, file, line
  foreach my $t ($source->texts) { ... }      # text, file, line
  $source->is_literal($text);
  my $code = $source->lua('take.lua');        # without its comments
  my @a = $source->lua_arguments('take.lua'); # KEYS[1], KEYS[2], ARGV[1], ...
  my $n = $source->lua_reply('take.lua');     # how many elements; 0: no array

=head1 DESCRIPTION

Messages are what is given to errmsg(), errmsg_plural(), elog() and
GUC_check_errmsg(), or to a function that hands its argument on to
errmsg_internal().  Texts are all other string literals of two words or more
that are not SQL, not names of memory contexts and the like, and not compared
with something: reasons, details, advice, words of views.  Whatever a format
stands for is written as three dots.

=cut

package Wtcache::Source;

use strict;
use warnings;

my $string = qr/"(?:\\.|[^"\\])*"/s;
my $char = qr/'(?:\\.|[^'\\])*'/s;
my $parens;
$parens = qr/\((?:[^()"']++|$string|$char|(??{ $parens }))*\)/s;
my $macro = qr/[A-Z][A-Z0-9_]+/;
# literals, and macros that expand to some, side by side
my $literal = qr/(?:$macro\s+)*$string(?:\s*(?:$string|$macro(?=\s*["),])))*/s;

# What is given to these is not meant for users.
my $inward = qr/
	(?: strn?cmp | strncasecmp | memcmp | strstr | strcspn | sscanf | SAY
	| AllocSetContextCreate(?:Internal)? | GenerationContextCreate
	| SlabContextCreate | hash_create | ShmemInitStruct | ShmemInitHash
	| LWLockRegisterTranche | StaticAssertDecl | StaticAssertStmt
	| wtc_trigger_function | PreventCommandIfReadOnly )/x;
my $sql = qr/
	^\s*(?:SELECT|INSERT|UPDATE|DELETE|ALTER|CREATE|DROP|FROM|WHERE|ENABLE|CASE|COMMENT|BEGIN|ORDER)\s
	| pg_catalog\. | OPERATOR\( | \bERR\b | \bEXECABORT\b /x;

sub new
{
	my ($class, $top, $sqlstates) = @_;
	my $self = bless {
		top => $top,
		states => $sqlstates,
		messages => [],
		texts => [],
		literals => {}
	}, $class;

	$self->_read_c($_)
	  foreach map { substr $_, length("$top/") }
	  grep { !/\.lua\.h$/ } sort glob("$top/src/*.[ch] $top/src/*/*.[ch]");
	return $self;
}

sub messages { return @{ $_[0]{messages} }; }
sub texts { return @{ $_[0]{texts} }; }
sub is_literal { return $_[0]{literals}{ $_[1] }; }

sub slurp
{
	my ($self, $name) = @_;

	open(my $file, '<:encoding(UTF-8)', "$self->{top}/$name")
	  or die "could not read $name: $!";
	local $/;
	return <$file>;
}

sub lua
{
	my ($self, $name) = @_;
	my $code = $self->slurp("src/redis/$name");

	# as the Makefile does
	$code =~ s/^ *--.*\n//mg;
	return $code;
}

# The comment at a script's head
sub _lua_head
{
	my ($self, $name) = @_;
	my ($head) = $self->slurp("src/redis/$name") =~ /\A((?:--.*\n)+)/;

	return $head =~ s/^-- ?//mgr;
}

# The arguments that it explains, in lines of their own; "KEYS" alone are all.
sub lua_arguments
{
	my ($self, $name) = @_;
	my $head = $self->_lua_head($name);
	my @arguments;

	while ($head =~ /^  (KEYS|ARGV)(?:\[(\d+)(\.\.(\d*))?\])?  /mg)
	{
		my ($array, $from, $range, $to) = ($1, $2 // 1, $2 ? $3 : '..', $4);

		push @arguments, map { "$array\[$_]" }
			!$range ? $from
		  : ($to // '') eq '' ? "$from.."
		  : $from .. $to;
	}
	return @arguments;
}

# How many things it says that it returns in one array
sub lua_reply
{
	my ($self, $name) = @_;
	my ($list) = $self->_lua_head($name) =~ /^Returns \{ (.*?) \}/ms or return 0;

	return scalar split /,/, $list;
}

# A C file without comments, every line where it was.
sub c
{
	my ($self, $name) = @_;
	my $code = $self->slurp($name);

	# a double quote as a character begins no string
	$code =~ s{($string|$char)|(/\*.*?\*/)}
		{ !defined $1 ? "\n" x ($2 =~ tr/\n//) : $1 eq q('"') ? q('\x22') : $1 }gse;
	return $code;
}

# A literal as the documentation writes it
sub plain
{
	my ($code) = @_;
	my $text = '';

	while ($code =~ /($string)|($macro)/g)
	{
		my $s = $1;

		if (!defined $s)
		{
			$text .= $2 =~ /FORMAT|^PRI/ ? "\x01" : "\x02";
			next;
		}
		$s = substr $s, 1, -1;
		$s =~ s/\\n/ /g;
		$s =~ s/\\(.)/$1/g;
		$s =~ s/%%/\x03/g;
		$s =~ s/%[-+ #0-9.*]*(?:ll|l|z|h)?[a-zA-Z]/\x01/g;
		$text .= $s;
	}
	# a format may be cut in two by a macro: "%" PRIu64
	$text =~ s/%\x01/\x01/g;
	$text =~ s/\x01/.../g;
	$text =~ s/\x02//g;
	$text =~ s/\x03/%/g;
	return $text;
}

sub _read_c
{
	my ($self, $name) = @_;
	my $code = $self->c($name);
	my (@wrappers, @calls);

	$code =~ s/^#\s*(?:include|error)[^\n]*//mg;
	$self->{literals}{ plain($_) } = 1 foreach $code =~ /($literal)/g;
	# blanks instead, so that what is left keeps its place
	my $take = sub {
		my ($from, $to) = @_;
		my $piece = substr $code, $from, $to - $from;

		(my $blank = $piece) =~ s/[^\n]/ /g;
		substr($code, $from, $to - $from) = $blank;
		return $piece;
	};
	my $line = sub { return 1 + (substr($code, 0, $_[0]) =~ tr/\n//); };

	while ($code =~ /^(\w+)\([^;{}]*\)\n\{((?:(?!^\}).)*errmsg_internal\("%s"(?:(?!^\}).)*)^\}/msg)
	{
		push @wrappers, { name => $1, $self->_report($2) };
	}
	while ($code =~ /\b(?:ereport|elog|GUC_check_errmsg)\s*($parens)/g)
	{
		my ($from, $to) = ($-[0], $+[0]);
		my $at = $line->($from);

		$self->_message($take->($from, $to), $name, $at);
		pos($code) = $to;
	}
	foreach my $w (@wrappers)
	{
		while ($code =~ /\b\Q$w->{name}\E\s*$parens(?=;)/g)
		{
			my ($from, $to) = ($-[0], $+[0]);
			my $at = $line->($from);
			my $call = $take->($from, $to);
			my $state = $self->_state($call) || $w->{state};

			push @{ $self->{messages} },
			  {
				text => plain($_),
				level => [ $w->{level} ],
				state => $state,
				file => $name,
				line => $at
			  }
			  foreach $call =~ /($literal)/g;
			pos($code) = $to;
		}
	}
	return if $name eq 'src/guc.c';
	while ($code =~ /\b$inward\s*$parens|\.bgw_\w+\s*=\s*$string/g)
	{
		my ($from, $to) = ($-[0], $+[0]);

		$take->($from, $to);
		pos($code) = $to;
	}
	while ($code =~ /($literal)/g)
	{
		my ($at, $text) = ($line->($-[0]), plain($1));

		push @{ $self->{texts} },
		  { text => $text, file => $name, line => $at }
		  if $text =~ /[A-Za-z.] [A-Za-z]/ && $text !~ $sql;
	}
	return;
}

sub _state
{
	my ($self, $call) = @_;
	return 'its cause' if $call =~ /\berrcode_for_file_access\(/;
	my ($name) = $call =~ /\b(ERRCODE_\w+)/ or return;

	return $self->{states}{$name} // die "unknown $name";
}

# Level and SQLSTATE of an ereport or elog
sub _report
{
	my ($self, $call) = @_;
	my @levels =
	  $call =~ /^\s*\w+\s*\(([^,]*)/
	  ? $1 =~ /\b(DEBUG[1-5]|LOG|NOTICE|WARNING|ERROR|FATAL|PANIC)\b/g
	  : ();

	@levels = $call =~ /\be(?:report|log)\((\w+)/ if !@levels;
	return (
		levels => \@levels,
		level => $levels[0],
		state => $self->_state($call)
		  || (
			{ ERROR => 'XX000', WARNING => '01000' }->{ $levels[0] || '' }
			  || '00000'));
}

sub _message
{
	my ($self, $call, $name, $at) = @_;
	my %report = $self->_report($call);

	if ($call =~ /^GUC/)
	{
		%report = (levels => ['ERROR'], state => '22023');
	}
	# those that hand on what somebody else says are found by their callers
	elsif ($call =~ /errmsg_internal\("%s"/)
	{
		return;
	}
	if ($call =~ /^(?:elog|GUC)/)
	{
		$call =~ /($literal)/ or die "$name:$at: no text";
		$self->_add($1, $name, $at, %report);
		return;
	}
	while ($call =~ /\berrmsg(?:_plural|_internal)?\s*\(\s*($literal)(?:\s*,\s*($literal))?/g)
	{
		my ($one, $many) = ($1, $2);

		$self->_add($_, $name, $at, %report) foreach grep { defined } $one,
		  $many;
	}
	return;
}

sub _add
{
	my ($self, $code, $name, $at, %report) = @_;

	push @{ $self->{messages} },
	  {
		text => plain($code),
		level => $report{levels},
		state => $report{state},
		file => $name,
		line => $at
	  };
	return;
}

1;
