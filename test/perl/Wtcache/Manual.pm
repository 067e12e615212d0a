
=pod

=head1 NAME

Wtcache::Manual - a Markdown file of the documentation, taken at its word

=head1 SYNOPSIS

  use Wtcache::Manual;

  my $manual = Wtcache::Manual->new("$top/doc/reference.md");
  my $section = $manual->section('Settings');    # dies if there is none
  # of the tables whose header begins with these
  foreach my $row ($section->rows('setting', 'unit, range'))
  {
      my @names = codes($row->{cells}[0]);       # what is `so`
      ... $row->{line} ...
  }

=head1 DESCRIPTION

A table whose rows differ in length, a code span that does not end in its cell or
paragraph, a heading that comes twice: new() dies of each.  Text in fenced blocks belongs to
no table.

=cut

package Wtcache::Manual;

use strict;
use warnings;

use Exporter qw(import);
use Text::ParseWords ();

our @EXPORT_OK = qw(codes);

sub new
{
	my ($class, $path) = @_;
	my $self = bless {
		path => $path,
		name => $path =~ s{.*/(?=\w+/[^/]*$|README)}{}r,
		sections => []
	}, $class;

	open(my $file, '<:encoding(UTF-8)', $path)
	  or die "could not read $path: $!";
	$self->{lines} = [ map { s/\n//r } <$file> ];
	$self->_parse;
	return $self;
}

sub name { return $_[0]{name}; }
sub sections { return @{ $_[0]{sections} }; }

sub section
{
	my ($self, $title) = @_;
	my @found = grep { $_->{title} eq $title } $self->sections;

	die "$self->{name} has no section \"$title\"" unless @found;
	return $found[0];
}

sub has_section
{
	my ($self, $title) = @_;

	return scalar grep { $_->{title} eq $title } $self->sections;
}

# What stands in backquotes
sub codes
{
	my ($text) = @_;

	return map { s/^ (.*) $/$1/r } $text =~ /`([^`]+)`/g;
}

# Links, as [ target, line ]
sub links
{
	my ($self) = @_;

	return @{ $self->{links} };
}

# Is there a heading with this anchor, as GitHub makes them?
sub anchors
{
	my ($self) = @_;

	return map { lc($_->{title}) =~ s/[^\w\- ]//gr =~ s/ /-/gr }
	  $self->sections;
}

sub _parse
{
	my ($self) = @_;
	my ($fenced, $table, $n) = (0, undef, 0);
	my ($quotes, $odd) = (0, 0);
	my $section = $self->_begin('', 0, 1);

	$self->{links} = [];
	foreach my $line (@{ $self->{lines} })
	{
		my $where = "$self->{name}:" . ++$n;

		if ($line =~ /^```(\w*)/)
		{
			push @{ $section->{blocks} }, { language => $1, text => '', line => $n }
			  if !$fenced;
			$fenced = !$fenced;
			$table = undef;
			next;
		}
		if ($fenced)
		{
			$section->{blocks}[-1]{text} .= "$line\n";
			next;
		}
		$quotes = ($line =~ tr/`//) + ($line =~ /^\s*$|^[#|]/ ? 0 : $quotes);
		die "$where: a code span does not end before"
		  if $quotes % 2 && $line =~ /^[#|]/ || $odd && $line =~ /^\s*$|^[#|]/;
		$odd = $quotes % 2;
		push @{ $self->{links} }, [ $1, $n ]
		  while $line =~ /\]\(([^)\s]+)\)/g;
		if ($line =~ /^(#+) (.*)/)
		{
			$section = $self->_begin($2, length $1, $n);
			$table = undef;
		}
		elsif ($line =~ /^\|/)
		{
			my @cells = _cells($line, $where);

			if (!$table)
			{
				$table = { header => \@cells, rows => [], line => $n };
				push @{ $section->{tables} }, $table;
			}
			elsif (!$table->{ruled})
			{
				die "$where: not the line under a table's header"
				  if grep { !/^-+$/ } @cells;
				$table->{ruled} = 1;
			}
			else
			{
				push @{ $table->{rows} }, { cells => \@cells, line => $n };
			}
			die "$where: " . @cells . ' cells instead of ' . @{ $table->{header} }
			  if @cells != @{ $table->{header} };
		}
		else
		{
			$table = undef;
			push @{ $section->{text} }, { text => $line, line => $n };
		}
	}
	die "$self->{name}: a fenced block does not end" if $fenced;
	return;
}

sub _begin
{
	my ($self, $title, $level, $line) = @_;

	die "$self->{name}:$line: heading \"$title\" comes twice"
	  if $self->has_section($title);
	push @{ $self->{sections} },
	  bless {
		title => $title,
		level => $level,
		line => $line,
		tables => [],
		text => [],
		blocks => []
	  },
	  'Wtcache::Manual::Section';
	return $self->{sections}[-1];
}

sub _cells
{
	my ($line, $where) = @_;

	$line =~ s/^\|\s*// && $line =~ s/\s*\|$//
	  or die "$where: a row of a table does not end with |";
	# an empty cell has one blank
	return map { s/^\s+|\s+$//gr =~ s/\\\|/|/gr }
	  split /(?<!\\)\|/, $line, -1;
}

package Wtcache::Manual::Section;

sub title { return $_[0]{title}; }
sub line { return $_[0]{line}; }
sub lines { return @{ $_[0]{text} }; }

# The fenced blocks of a language
sub blocks
{
	my ($self, $language) = @_;

	return grep { $_->{language} eq $language } @{ $self->{blocks} };
}

# What the README allows a user of Redis: words of ACL SETUSER, the user first
sub acl
{
	my ($self) = @_;
	my ($text) = map { $_->{text} =~ /ACL SETUSER (.*)/s } $self->blocks('sh');

	return Text::ParseWords::shellwords($text =~ s/\\\n//gr);
}

# The rows of the tables whose header begins with these words
sub rows
{
	my ($self, @header) = @_;

	return map { @{ $_->{rows} } } grep {
		my $t = $_;
		!grep { ($t->{header}[$_] // '') ne $header[$_] } 0 .. $#header
	} @{ $self->{tables} };
}

1;
