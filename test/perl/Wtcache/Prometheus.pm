
=pod

=head1 NAME

Wtcache::Prometheus - the exporter and a Prometheus that scrapes it, for a test

=head1 SYNOPSIS

  use Wtcache::Prometheus;

  my $prometheus = Wtcache::Prometheus->new($node, user => 'watcher',
      queries => 'monitoring/queries.yaml', rules => 'monitoring/alerts.yaml');

  my %metrics = $prometheus->metrics;         # what the exporter says now: name => type
  my @samples = $prometheus->query($expr);    # dies if Prometheus objects
  my @samples = $prometheus->wait_for($expr, sub { ... });
  my $value = $prometheus->value($expr);      # of the first sample, if any
  my $data = $prometheus->api('rules');       # of /api/v1/rules

=head1 DESCRIPTION

Debian's programs, which test/run has put into the PATH, on ports of their own
of the local host.  Prometheus scrapes and evaluates every second.  Samples are
hashes of C<labels> and C<value>.  The exporter gets C<args>, too.  Both processes end with the object or the
test.

=cut

package Wtcache::Prometheus;

use strict;
use warnings;

use File::Temp ();
use HTTP::Tiny;
use JSON::PP ();
use POSIX qw(:sys_wait_h);
use Time::HiRes qw(sleep time);
use Wtcache::Redis;

my %running;    # pids, of this process only

sub new
{
	my ($class, $node, %o) = @_;
	my $self = bless {
		owner => $$,
		dir => File::Temp->newdir('wtprom-XXXXXX', DIR => '/tmp'),
		http => HTTP::Tiny->new(timeout => 30) }, $class;
	my $dsn = 'host=' . $node->host . ' port=' . $node->port
	  . " user=$o{user} dbname=postgres sslmode=disable";

	$self->_start(
		'exporter',
		sub {
			$ENV{DATA_SOURCE_NAME} = $dsn;
			return ('prometheus-postgres-exporter',
				'--extend.query-path', $o{queries},
				'--disable-default-metrics', '--disable-settings-metrics',
				@{ $o{args} || [] },
				'--web.listen-address', "127.0.0.1:$_[0]");
		},
		'/metrics');
	$self->_write('prometheus.yml', <<END);
global:
  scrape_interval: 1s
  evaluation_interval: 1s
rule_files: ['$o{rules}']
scrape_configs:
  - job_name: wtcache
    static_configs: [{ targets: ['127.0.0.1:$self->{port}{exporter}'] }]
END
	$self->_start(
		'prometheus',
		sub {
			return ('prometheus', "--config.file=$self->{dir}/prometheus.yml",
				"--storage.tsdb.path=$self->{dir}/data",
				"--web.listen-address=127.0.0.1:$_[0]");
		},
		'/-/ready');
	# Everything else would only find out after its own deadline.
	$self->wait_for('up == 1')
	  or die 'nothing is scraped: ' . $self->api('targets')->{activeTargets}[0]{lastError};
	return $self;
}

sub _write
{
	my ($self, $name, $text) = @_;

	open(my $file, '>', "$self->{dir}/$name") or die "could not write $name: $!";
	print $file $text;
	close $file;
	return;
}

sub log_content
{
	my ($self, $name) = @_;

	open(my $file, '<', "$self->{dir}/$name.log") or return '';
	local $/;
	return <$file>;
}

# Start one, and wait until it answers.  Someone else may take the port first;
# then it ends, and another one is tried.
sub _start
{
	my ($self, $name, $command, $path) = @_;
	my $deadline = time + $Wtcache::Redis::timeout;

	foreach my $try (1 .. 3)
	{
		my $port = $self->{port}{$name} = Wtcache::Redis::free_port();
		my $pid = fork;

		die "could not fork: $!" unless defined $pid;
		if ($pid == 0)
		{
			open(STDIN, '<', '/dev/null');
			open(STDOUT, '>>', "$self->{dir}/$name.log");
			open(STDERR, '>&', \*STDOUT);
			my @command = $command->($port);
			{ no warnings; exec @command; }
			warn "could not run $command[0]: $!";
			POSIX::_exit(127);
		}
		$running{$pid} = 1;
		$self->{pids}{$name} = $pid;
		while (time < $deadline && waitpid($pid, WNOHANG) == 0)
		{
			return if $self->{http}->get($self->url($name, $path))->{success};
			sleep 0.1;
		}
		$self->_end($name);
	}
	die "could not start $name:\n" . $self->log_content($name);
}

sub _end
{
	my ($self, $name) = @_;
	my $pid = delete $self->{pids}{$name};

	return unless $pid && delete $running{$pid};
	return if waitpid($pid, WNOHANG) != 0;
	kill 'KILL', $pid;
	waitpid($pid, 0);
	return;
}

sub url { return "http://127.0.0.1:$_[0]{port}{$_[1]}$_[2]"; }

# What the exporter says: name => type, as "wtcache_lag_bytes" => "gauge"
sub metrics
{
	my ($self) = @_;
	my $answer = $self->{http}->get($self->url('exporter', '/metrics'));

	die "no metrics: $answer->{status} $answer->{content}" unless $answer->{success};
	return $answer->{content} =~ /^# TYPE (\S+) (\S+)$/mg;
}

# GET of the HTTP API; errors are fatal, as they are when an expression is wrong.
sub api
{
	my ($self, $call, %parameters) = @_;
	my $answer = $self->{http}->get($self->url('prometheus', "/api/v1/$call?"
			  . $self->{http}->www_form_urlencode(\%parameters)));
	my $json = eval { JSON::PP::decode_json($answer->{content}) };

	die "$call: $answer->{status} $answer->{content}"
	  unless $json && $json->{status} eq 'success';
	return $json->{data};
}

sub query
{
	my ($self, $expr) = @_;
	my $data = $self->api('query', query => $expr);

	return { labels => {}, value => $data->{result}[1] }
	  if $data->{resultType} eq 'scalar';
	return map { { labels => $_->{metric}, value => $_->{value}[1] } }
	  @{ $data->{result} };
}

sub value
{
	my ($self, $expr) = @_;
	my ($sample) = $self->query($expr);

	return $sample && $sample->{value};
}

# Query until there is a sample that is a number (or the given code says so),
# doing something between the tries; the samples, none if that never happens.
sub wait_for
{
	my ($self, $expr, $meanwhile, $enough) = @_;
	my $deadline = time + $Wtcache::Redis::timeout;

	$enough ||= sub { return grep { $_->{value} ne 'NaN' } @_; };
	while (time < $deadline)
	{
		my @samples = $self->query($expr);

		return @samples if $enough->(@samples);
		$meanwhile->() if $meanwhile;
		sleep 0.1;
	}
	return;
}

sub DESTROY
{
	my ($self) = @_;

	return if $self->{owner} != $$;
	local ($?, $@, $!);
	$self->_end($_) foreach keys %{ $self->{pids} };
	return;
}

END
{
	local $?;
	# Filled by this process, or inherited by fork and then not ours
	foreach my $pid (keys %running)
	{
		kill 'KILL', $pid if waitpid($pid, WNOHANG) == 0;
	}
}

1;
